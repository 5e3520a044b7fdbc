-- Notes the first and last time of a row at `q` and behind it. What is undone does not change them.
local function widen(fields, q, rows, p, day)
  if rows[p + ROW_COUNT] < 0 then return end
  local midnight = day * DAY_MS
  fields[q] = math.min(fields[q], rows[p + ROW_FIRST] - midnight)
  fields[q + 1] = math.max(fields[q + 1], rows[p + ROW_LAST] - midnight)
end

-- Adds a row to what the subject counted on a day before its record's.
local function add_late(batch, index, subject, rows, p, set, count)
  local use, boards = batch.keys.use[batch.days[index]], batch.keys.days[index].boards
  if not use then -- The batch comes again, with it.
    batch.missing[batch.days[index]] = true
    return
  end
  local pending = batch.use[use] or {}
  batch.use[use] = pending
  local entry = pending[subject]
  if not entry then
    local old = redis.call('HGET', use, subject)
    entry = old and cmsgpack.unpack(old) or {0, NO_FIRST, NO_LAST}
    pending[subject] = entry
  end
  entry[USE_EVENTS] = entry[USE_EVENTS] + count
  widen(entry, USE_FIRST, rows, p, batch.days[index])
  for j = 1, #set do
    local meter, q = set[j], USE_METERS
    while entry[q] and entry[q] ~= meter do q = q + 2 end
    entry[q], entry[q + 1] = meter, (entry[q + 1] or 0) + rows[p + ROW_WIDTH + j - 1]
    local place = rank_of(batch, meter)
    if place then rank(batch, boards[place], entry[q + 1], subject) end
  end
end
