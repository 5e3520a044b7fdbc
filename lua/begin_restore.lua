#!lua
--[[
  begin_restore: take the right to write what is restored. Whoever began before writes no more.

  KEYS     meta
  ARGV     token of who begins
  Returns  1
  Time     O(1)
]]
--@include require_rights

redis.call('HLEN', KEYS[1])
require_rights(KEYS[1], {'DEL', 'HSET'})
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'restoring', ARGV[1])
return 1
