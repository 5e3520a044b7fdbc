#!lua
--[[
  put_rules: put a part of a workspace's rules in force, unless they changed since they were read.

  KEYS     rules, changes
  ARGV     the version that was read, the part's name, its text
  Returns  1, or 0 when another version is in force by now
  Time     O(1)
]]
--@include require_rights

if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return 0 end
redis.call('HLEN', KEYS[2])
require_rights(KEYS[1], {'HSET', 'HINCRBY'})
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HINCRBY', KEYS[2], 'state', 1)
return 1
