#!lua
--[[
  finish_restore: what was restored is whole from now on.

  KEYS     meta
  ARGV     token of the restore, then fields of meta and their values
  Returns  1, or 0 when another restore has begun since
  Time     O(1)
]]
--@include require_rights

if redis.call('HGET', KEYS[1], 'restoring') ~= ARGV[1] then return 0 end
require_rights(KEYS[1], {'HDEL', 'HSET'})
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('HDEL', KEYS[1], 'restoring')
return 1
