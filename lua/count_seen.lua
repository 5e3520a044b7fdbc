#!lua
--[[
  count_seen: how many subjects each of some keys holds.

  KEYS     as follow_usage writes them
  Returns  per key the count (-1 when there is no such key), and 1 if it is an estimate
  Time     O(keys), with 12 KiB to read for an estimate that changed
]]
local counts = {}
for i = 1, #KEYS do
  local kind = redis.call('TYPE', KEYS[i]).ok
  local count = -1
  if kind == 'string' then
    count = redis.call('PFCOUNT', KEYS[i])
  elseif kind ~= 'none' then
    count = redis.call('SCARD', KEYS[i])
  end
  counts[2 * i - 1], counts[2 * i] = count, kind == 'string' and 1 or 0
end
return counts
