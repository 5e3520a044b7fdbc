-- Adds the rows to the subjects' records. This is where Redis spends its time, so nothing is looked
-- up that a local has, and nearly all rows (a new subject, or one on its latest day) go straight.
local function add_rows(batch)
  local rows, sets, days, records, touched = batch.rows, batch.sets, batch.days, batch.records, batch.touched
  local subjects, overflow, today, format = batch.subjects, batch.overflow, batch.today, string.format
  local p, last, add_part = 1, #rows, nil
  while p <= last do
    local i, index, set, count = rows[p], rows[p + 1], sets[rows[p + 2]], rows[p + 3]
    local record, k, day = records[i], #set, days[index]
    if type(record) == 'string' then record = read_record(record) end
    if count > 0 and not record and day >= today then
      record = {rows[p + 4], rows[p + 5], 0, 0, day, 0, NO_FIRST, NO_LAST}
    end
    if count > 0 and record and day == record[DAY] then
      touched[i] = true
      record[EVENTS], record[DAY_EVENTS] = record[EVENTS] + count, record[DAY_EVENTS] + count
      local lists, q, amounts = batch.lists[index], METERS, p + 5
      for j = 1, k do
        local meter = set[j]
        if record[q] ~= meter then q = place_of(record, meter) end -- Mostly in last time's order.
        local amount = rows[amounts + j]
        local total, of_day = record[q + 1] + amount, record[q + 2] + amount
        if not (total <= MAX) then overflow[#overflow + 1] = i end
        record[q + 1], record[q + 2] = total, of_day
        local list = lists[meter]
        if list and of_day > 0 then
          local n = list.n
          list[n + 1], list[n + 2], list.n = format('%d', -of_day), subjects[i], n + 2
        end
        q = q + 3
      end
      local from, to, midnight = rows[p + 4], rows[p + 5], day * DAY_MS
      if from < record[FIRST] then record[FIRST] = from end
      if to > record[LAST] then record[LAST] = to end
      if from - midnight < record[DAY_FIRST] then record[DAY_FIRST] = from - midnight end
      if to - midnight > record[DAY_LAST] then record[DAY_LAST] = to - midnight end
    elseif count ~= 0 then
      touched[i] = true
      add_part = add_part or code_of_parts()
      record = add_part(batch, i, record, p, set, count)
      record[EVENTS] = record[EVENTS] + count
      if count > 0 and rows[p + 4] < record[FIRST] then record[FIRST] = rows[p + 4] end
      if count > 0 and rows[p + 5] > record[LAST] then record[LAST] = rows[p + 5] end
    end
    records[i] = record
    p = p + 6 + k
  end
end
