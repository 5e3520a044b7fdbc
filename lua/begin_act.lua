#!lua
--[[
  begin_act: note an administrative act before it is done. Its place in the log is the time, or, where
  the clocks of processes differ, that of the act before it.

  KEYS     audit, changes of its days
  ARGV     now_ms, name and value of each field
  Returns  the id of the entry
  Time     O(1)
]]
--@include require_rights

local ms = ARGV[1]
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last then
  local before = string.match(last[1], '^%d+')
  if tonumber(before) > tonumber(ms) then ms = before end
end
redis.call('HLEN', KEYS[2])
require_rights(KEYS[1], {'HINCRBY', 'XADD'})
local id = redis.call('XADD', KEYS[1], ms .. '-*', unpack(ARGV, 2))
redis.call('HINCRBY', KEYS[2], string.format('%.0f', math.floor(tonumber(ms) / 86400000)), 1)
return id
