-- Adds a subject's sums, which start at p, to its record, and its totals to the results behind r.
-- For what is rare: a new subject, a day that it leaves, a late event, events that do not count.
-- Returns the record (false: nothing of it counts), the next p and r.
local function add_parts(batch, i, subject, record, sums, p, results, r)
  local first, last, k, parts = sums[p], sums[p + 1], sums[p + 2], sums[p + 3]
  local meters, ranked = p + 3, batch.ranked
  local counted, is_moved, is_over = 0, false, false
  results[r + 1] = record and record[AT] or 0
  p = p + 4 + k
  for _ = 1, parts do
    local index, count = sums[p], sums[p + 1]
    local day = batch.days[index]
    if count > 0 then
      counted = counted + count
      record = record or {first, last, 0, 0, math.max(day, batch.today), 0}
      if day > record[DAY] then
        leave_day(batch, subject, record, day)
        is_moved = true
      end
      local is_live = day == record[DAY]
      if is_live then
        record[DAY_EVENTS] = record[DAY_EVENTS] + count
      else
        add_late(batch, batch.keys.days[index], subject, sums, meters, p, k)
        is_moved = true
      end
      for j = 1, k do
        local meter, amount = sums[meters + j], sums[p + 1 + j]
        local q = place_of(record, meter)
        record[q + 1] = record[q + 1] + amount
        if not (record[q + 1] <= MAX) then is_over = true end
        if is_live then
          record[q + 2] = record[q + 2] + amount
          if ranked[meter] then
            rank(batch, batch.keys.days[index].boards[ranked[meter]], record[q + 2], subject)
          end
        end
      end
    end
    p = p + 2 + k
  end
  if is_over then batch.overflow[#batch.overflow + 1] = i end
  for j = 1, k do
    results[r + 1 + j] = record and record[place_of(record, sums[meters + j]) + 1] or 0
  end
  r = r + 1 + k
  if counted == 0 then return false, p, r end
  batch.counted = batch.counted + counted
  record[EVENTS] = record[EVENTS] + counted
  if first < record[FIRST] then record[FIRST] = first end
  if last > record[LAST] then record[LAST] = last end
  if is_moved then
    for q = METERS, #record, 3 do
      local place = ranked[record[q]]
      if place then rank(batch, batch.keys.closed[place], record[q + 1] - record[q + 2], subject) end
    end
  end
  return record, p, r
end

-- As add_parts, for nearly all subjects: seen before, all of it on its latest day. This is where
-- Redis spends its time, so nothing is looked up that a local has.
local function add_to_subject(batch, i, subject, old, sums, p, results, r)
  if not old then return add_parts(batch, i, subject, false, sums, p, results, r) end
  local record, k = cmsgpack.unpack(old), sums[p + 2]
  local part = p + 4 + k
  local index, count = sums[part], sums[part + 1]
  if sums[p + 3] ~= 1 or count == 0 or batch.days[index] ~= record[DAY] then
    return add_parts(batch, i, subject, record, sums, p, results, r)
  end
  batch.counted = batch.counted + count
  r = r + 1
  results[r] = record[AT]
  record[EVENTS], record[DAY_EVENTS] = record[EVENTS] + count, record[DAY_EVENTS] + count
  if sums[p] < record[FIRST] then record[FIRST] = sums[p] end
  if sums[p + 1] > record[LAST] then record[LAST] = sums[p + 1] end
  local lists, q, distance = batch.lists[index], METERS, k + 2
  for m = p + 4, p + 3 + k do
    local meter, amount = sums[m], sums[m + distance]
    if record[q] ~= meter then q = place_of(record, meter) end -- Mostly in last time's order.
    local total, of_day = record[q + 1] + amount, record[q + 2] + amount
    if not (total <= MAX) then batch.overflow[#batch.overflow + 1] = i end
    record[q + 1], record[q + 2] = total, of_day
    r = r + 1
    results[r] = total
    local list = lists[meter]
    if list and of_day > 0 then
      local n = list.n
      list[n + 1], list[n + 2], list.n = -of_day, subject, n + 2
    end
    q = q + 3
  end
  return record, part + 2 + k, r
end
