#!lua
--[[
  forget_holds: forget holds that were over long ago, a slice of them.

  KEYS     holds, sorted set of holds by when they were over
  ARGV     the time before which they were (ms), count
  Returns  how many were forgotten
  Time     O(count * log holds)
]]
--@include require_rights

local ids = redis.call('ZRANGE', KEYS[2], '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
redis.call('HLEN', KEYS[1])
if #ids == 0 then return 0 end
require_rights(KEYS[1], {'HDEL', 'ZREM'})
redis.call('HDEL', KEYS[1], unpack(ids))
redis.call('ZREM', KEYS[2], unpack(ids))
return #ids
