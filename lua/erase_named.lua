#!lua
--[[
  erase_named: take what is about some subjects out of a hash and of the sorted sets of its fields, a slice of it.

  KEYS     hash, two sorted sets
  ARGV     cursor; count; {subject, ...} (packed); where a value has its subject, and when it was made; the
           last such time (ms) that is meant
  Returns  {next cursor, how many were taken out}
  Time     O(count * log n)
]]
--@include require_rights

local call, until_ms = redis.call, tonumber(ARGV[6])
local of_subject, of_time, is_named = tonumber(ARGV[4]), tonumber(ARGV[5]), {}
for _, name in ipairs(cmsgpack.unpack(ARGV[3])) do is_named[name] = true end
call('ZCARD', KEYS[2])
call('ZCARD', KEYS[3])
local slice, gone = call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2]), {}
for q = 1, #slice[2], 2 do
  local value = cmsgpack.unpack(slice[2][q + 1])
  if is_named[value[of_subject]] and value[of_time] <= until_ms then gone[#gone + 1] = slice[2][q] end
end
local count = 0
if #gone > 0 then
  require_rights(KEYS[1], {'HDEL', 'ZREM'})
  count = call('HDEL', KEYS[1], unpack(gone))
  call('ZREM', KEYS[2], unpack(gone))
  call('ZREM', KEYS[3], unpack(gone))
end
return {slice[1], count}
