-- Adds a row to a subject's record where that is more than adding: a new subject, a day that it
-- leaves, a day before its latest.
local function add_part(batch, i, record, p, set, count)
  local rows, subject = batch.rows, batch.subjects[i]
  local index = rows[p + 1]
  batch.undoes = count < 0
  local day = batch.days[index]
  record = record
    or {rows[p + ROW_FIRST], rows[p + ROW_LAST], 0, 0, math.max(day, batch.today), 0, NO_FIRST, NO_LAST}
  if day > record[DAY] then leave_day(batch, subject, record, day) end
  local is_live = day == record[DAY]
  if is_live then
    record[DAY_EVENTS] = record[DAY_EVENTS] + count
    widen(record, DAY_FIRST, rows, p, day)
  else
    add_late(batch, index, subject, rows, p, set, count)
  end
  local of_row = p + ROW_WIDTH - 1
  for j = 1, #set do
    local meter, amount, q = set[j], rows[of_row + j], place_of(record, set[j])
    record[q + 1] = record[q + 1] + amount
    if not (record[q + 1] <= MAX) then batch.overflow[#batch.overflow + 1] = i end
    if is_live then
      record[q + 2] = record[q + 2] + amount
      local place = rank_of(batch, meter)
      if place then rank(batch, batch.keys.days[index].boards[place], record[q + 2], subject) end
    end
  end
  return record
end
