-- What the keys from `first` to `last` hold of subjects: 'none', 'set' or 'string' (HyperLogLog).
local function kinds_of(first, last)
  local kinds = {}
  for i = first, last do
    local kind = redis.call('TYPE', KEYS[i]).ok
    if kind == 'string' then
      redis.call('PFCOUNT', KEYS[i])
    elseif kind ~= 'none' then
      redis.call('SCARD', KEYS[i])
    end
    kinds[#kinds + 1] = kind
  end
  return kinds
end

-- Adds subjects to a key: to a set while they are few, then to a HyperLogLog, which takes 12 KiB.
local function see(key, kind, subjects, ttl_s)
  if kind == 'string' then
    redis.call('PFADD', key, unpack(subjects))
  else
    redis.call('SADD', key, unpack(subjects))
    if redis.call('SCARD', key) > EXACT_SUBJECTS then
      local members = redis.call('SMEMBERS', key)
      redis.call('DEL', key)
      for from = 1, #members, 1000 do
        redis.call('PFADD', key, unpack(members, from, math.min(from + 999, #members)))
      end
      kind = 'none'
    end
  end
  if ttl_s > 0 and kind == 'none' then redis.call('EXPIRE', key, ttl_s) end
end
