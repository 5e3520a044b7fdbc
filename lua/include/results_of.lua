-- Per subject the position of its entry before, then per row the subject's totals of its meters.
local function results_of(batch)
  local rows, sets, records, results, n = batch.rows, batch.sets, batch.records, {}, #batch.subjects
  for i = 1, n do results[i] = records[i] and records[i][AT] or 0 end
  local p, last = 1, #rows
  while p <= last do
    local record, set, q = records[rows[p]], sets[rows[p + 2]], METERS
    for j = 1, #set do
      if not record then
        results[n + j] = 0
      else
        if record[q] ~= set[j] then
          q = METERS
          while record[q] and record[q] ~= set[j] do q = q + 3 end
        end
        -- A meter that only refused events have is not in the record, and does not get into it.
        results[n + j], q = record[q + 1] or 0, q + 3
      end
    end
    n, p = n + #set, p + 6 + #set
  end
  return results
end
