#!lua
--[[
  void_markers: take the answers out of markers of batches. Who sends such a batch again is told that it was
  given up; it is never counted twice.

  KEYS     markers
  Returns  how many there were
  Time     O(number of keys)
]]
local count = 0
for _, key in ipairs(KEYS) do
  local marker = redis.call('GET', key)
  if marker then
    redis.call('SET', key, cmsgpack.pack((cmsgpack.unpack(marker)), {'stale'}), 'KEEPTTL')
    count = count + 1
  end
end
return count
