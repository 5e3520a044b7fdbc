#!lua
--[[
  keep_zone: note by which zone the workspace's days are cut, unless that is noted; while nothing was
  counted, and nobody has an account, it may be another one.

  KEYS     rules, subjects, accounts
  ARGV     zone of who asks; 1 if it may take the place of another one, or 0
  Returns  the zone that is in force
  Time     O(1)
]]
--@include require_rights

local zone = redis.call('HGET', KEYS[1], 'zone')
if zone == ARGV[1] then return zone end
if zone and (ARGV[2] == '0' or redis.call('EXISTS', KEYS[2], KEYS[3]) > 0) then return zone end
require_rights(KEYS[1], {'HINCRBY', 'HSET'})
redis.call('HSET', KEYS[1], 'zone', ARGV[1])
-- A batch that was cut by the old one is refused.
if zone then redis.call('HINCRBY', KEYS[1], 'version', 1) end
return ARGV[1]
