-- Writes what belongs to days: rollups, boards, and what subjects counted on days they have left.
local function write_days(batch, sizes, ttl_s)
  local call = redis.call
  local function expire(key)
    if sizes[key] == 0 then call('EXPIRE', key, ttl_s) end
  end
  for key, writes in pairs(batch.cells) do
    if #writes > 0 then
      call('HSET', key, unpack(writes))
      expire(key)
    end
  end
  for key, list in pairs(batch.boards) do
    if list.n > 0 then
      call('ZADD', key, unpack(list))
      expire(key)
    end
  end
  for key, entries in pairs(batch.use) do
    for subject, entry in pairs(entries) do call('HSET', key, subject, cmsgpack.pack(entry)) end
    expire(key)
  end
end
