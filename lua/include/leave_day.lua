-- Leaves the record's day: what was counted then moves to that day's `use`.
local function leave_day(batch, subject, record, day)
  if record[DAY_FIRST] ~= NO_FIRST then
    local use = batch.keys.use[record[DAY]]
    if not use then
      batch.missing[record[DAY]] = true
      return
    end
    local entry, n = {record[DAY_EVENTS], record[DAY_FIRST], record[DAY_LAST]}, USE_METERS - 1
    for q = METERS, #record, 3 do
      if record[q + 2] ~= 0 then
        entry[n + 1], entry[n + 2], n = record[q], record[q + 2], n + 2
      end
    end
    batch.use[use] = batch.use[use] or {}
    batch.use[use][subject] = entry
  end
  record[DAY], record[DAY_EVENTS], record[DAY_FIRST], record[DAY_LAST] = day, 0, NO_FIRST, NO_LAST
  for q = METERS, #record, 3 do record[q + 2] = 0 end
end
