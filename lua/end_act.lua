#!lua
--[[
  end_act: note how an administrative act went; what was noted before stays.

  KEYS     outcomes of the audit log, changes of its days
  ARGV     id of the act, outcome
  Returns  1, or 0 when it was noted before
  Time     O(1)
]]
--@include require_rights

redis.call('HLEN', KEYS[2])
require_rights(KEYS[1], {'HINCRBY', 'HSETNX'})
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
local ms = tonumber(string.match(ARGV[1], '^%d+'))
redis.call('HINCRBY', KEYS[2], string.format('%.0f', math.floor(ms / 86400000)), 1)
return 1
