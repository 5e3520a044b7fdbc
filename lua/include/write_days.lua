-- Writes what belongs to days: rollups, boards, and what subjects counted on days they have left. None
-- of it expires: a day leaves Redis when its file has all of it (cool_day).
local function write_days(batch)
  local call, pack = redis.call, cmsgpack.pack
  for _, rollups in ipairs(batch.rollups) do
    local writes, w = {}, 0
    for i, field in ipairs(rollups.fields) do
      if rollups[i].touched then
        rollups[i].touched = nil
        writes[w + 1], writes[w + 2], w = field, pack(rollups[i]), w + 2
      end
    end
    if w > 0 then call('HSET', rollups.key, unpack(writes)) end
  end
  for _, list in ipairs(batch.boards) do
    if list.n > 0 then call('ZADD', list.key, unpack(list, 1, list.n)) end
  end
  for _, day in ipairs(batch.large) do call('HSET', batch.keys.large, day, 1) end
  for key in pairs(batch.unranked) do call('ZREMRANGEBYSCORE', key, 0, '+inf') end
  for key, entries in pairs(batch.use) do
    for subject, entry in pairs(entries) do
      if entry then call('HSET', key, subject, pack(entry)) else call('HDEL', key, subject) end
    end
  end
end
