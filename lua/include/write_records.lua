-- Writes the records of the subjects of which something counts.
local function write_records(batch, at)
  local writes, w, pack = {}, 0, cmsgpack.pack
  local subjects, touched, records = batch.subjects, batch.touched, batch.records
  for i = 1, #subjects do
    if touched[i] then
      local record = records[i]
      record[AT] = at
      writes[w + 1], writes[w + 2], w = subjects[i], pack(record), w + 2
    end
  end
  redis.call('HSET', batch.keys.subjects, unpack(writes))
end
