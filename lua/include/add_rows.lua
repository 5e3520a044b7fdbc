-- Adds the rows to the subjects' records. This is where Redis spends its time, so nothing is looked
-- up that a local has, and nearly all rows (a subject seen before, on its latest day) go straight.
local function add_rows(batch)
  local rows, sets, days, records, touched = batch.rows, batch.sets, batch.days, batch.records, batch.touched
  local subjects, overflow, decode, p, last = batch.subjects, batch.overflow, cmsgpack.unpack, 1, #rows
  while p <= last do
    local i, index, set, count = rows[p], rows[p + 1], sets[rows[p + 2]], rows[p + 3]
    local record, k = records[i], #set
    if type(record) == 'string' then record = decode(record) end
    if count ~= 0 then
      touched[i] = true
      if count > 0 and record and days[index] == record[DAY] then
        record[DAY_EVENTS] = record[DAY_EVENTS] + count
        local lists, q = batch.lists[index], METERS
        for j = 1, k do
          local meter, amount = set[j], rows[p + 5 + j]
          if record[q] ~= meter then q = place_of(record, meter) end -- Mostly in last time's order.
          local total, of_day = record[q + 1] + amount, record[q + 2] + amount
          if not (total <= MAX) then overflow[#overflow + 1] = i end
          record[q + 1], record[q + 2] = total, of_day
          local list = lists[meter]
          if list and of_day > 0 then
            local n = list.n
            list[n + 1], list[n + 2], list.n = -of_day, subjects[i], n + 2
          end
          q = q + 3
        end
      else
        record = add_part(batch, i, record, p, set, count)
      end
      record[EVENTS] = record[EVENTS] + count
      if count > 0 and rows[p + 4] < record[FIRST] then record[FIRST] = rows[p + 4] end
      if count > 0 and rows[p + 5] > record[LAST] then record[LAST] = rows[p + 5] end
    end
    records[i] = record
    p = p + 6 + k
  end
end
