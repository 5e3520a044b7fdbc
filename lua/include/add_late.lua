-- Adds a row to what the subject counted on a day before its record's.
local function add_late(batch, index, subject, rows, p, set, count)
  local use, boards = batch.keys.use[batch.days[index]], batch.keys.days[index].boards
  if not use then return end -- The batch comes again, with it.
  local pending = batch.use[use] or {}
  batch.use[use] = pending
  local entry = pending[subject]
  if not entry then
    local old = redis.call('HGET', use, subject)
    entry = old and cmsgpack.unpack(old) or {0}
    pending[subject] = entry
  end
  entry[1] = entry[1] + count
  for j = 1, #set do
    local meter, q = set[j], 2
    while entry[q] and entry[q] ~= meter do q = q + 2 end
    entry[q], entry[q + 1] = meter, (entry[q + 1] or 0) + rows[p + ROW_WIDTH + j - 1]
    local place = rank_of(batch, meter)
    if place then rank(batch, boards[place], entry[q + 1], subject) end
  end
end
