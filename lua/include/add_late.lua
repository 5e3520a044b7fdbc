-- Adds one part to what the subject counted on a day before its record's.
local function add_late(batch, day, subject, sums, meters, p, k)
  local pending = batch.use[day.use] or {}
  batch.use[day.use] = pending
  local entry = pending[subject]
  if not entry then
    local old = redis.call('HGET', day.use, subject)
    entry = old and cmsgpack.unpack(old) or {0}
    pending[subject] = entry
  end
  entry[1] = entry[1] + sums[p + 1]
  for j = 1, k do
    local meter, q = sums[meters + j], 2
    while entry[q] and entry[q] ~= meter do q = q + 2 end
    entry[q], entry[q + 1] = meter, (entry[q + 1] or 0) + sums[p + 1 + j]
    if batch.ranked[meter] then
      rank(batch, day.boards[batch.ranked[meter]], entry[q + 1], subject)
    end
  end
end
