-- Writes the records of the subjects of which something counts.
local function write_records(batch, at)
  local writes, w, pack = {}, 0, cmsgpack.pack
  for i, subject in ipairs(batch.subjects) do
    if batch.touched[i] then
      local record = batch.records[i]
      record[AT] = at
      writes[w + 1], writes[w + 2], w = subject, pack(record), w + 2
    end
  end
  redis.call('HSET', batch.keys.subjects, unpack(writes))
end
