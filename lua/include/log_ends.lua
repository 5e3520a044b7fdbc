-- How many batches have changed a day, and where the logs end to which batches go now (KEYS from
-- `first` on); '' instead if no batch has changed the day since the count that is known.
local function log_ends(changes, day, known, first)
  local count = tonumber(redis.call('HGET', changes, day) or 0)
  if count == known then return count, '' end
  local ends = {}
  for i = first, #KEYS do
    local last = redis.call('XREVRANGE', KEYS[i], '+', '-', 'COUNT', 1)[1]
    ends[#ends + 1] = last and tonumber(string.match(last[1], '-(%d+)')) or 0
  end
  return count, cmsgpack.pack(ends)
end
