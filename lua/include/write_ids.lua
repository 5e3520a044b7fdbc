-- Remembers the ids that were counted now, with where: 7 bytes of log position, 2 of place.
local function write_ids(key, sizes, ids, places, gone, position, ttl_s)
  local at, writes, w = struct.pack('>I7', position), {}, 0
  for i = 1, #ids do
    local place = places[i]
    if not gone[place] then
      writes[w + 1], writes[w + 2] = ids[i], at .. struct.pack('>I2', place)
      w = w + 2
    end
  end
  if w == 0 then return end
  redis.call('HSET', key, unpack(writes))
  if sizes[key] == 0 then redis.call('EXPIRE', key, ttl_s) end
end
