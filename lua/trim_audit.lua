#!lua
--[[
  trim_audit: forget some of the administrative acts before a day (UTC), and how they went.

  KEYS     audit, its outcomes, changes of its days, snapshots
  ARGV     number of the first day that stays, how many acts at most
  Returns  how many there were: as many as at most means that there may be more
  Time     O(acts, days)
]]
--@include require_rights

local floor = tonumber(ARGV[1])
local last = string.format('%.0f', floor * 86400000 - 1)
local acts, ids = redis.call('XRANGE', KEYS[1], '-', last, 'COUNT', ARGV[2]), {}
for i, act in ipairs(acts) do ids[i] = act[1] end
redis.call('HLEN', KEYS[2])
redis.call('HLEN', KEYS[4])
local days = redis.call('HKEYS', KEYS[3])
require_rights(KEYS[1], {'HDEL', 'XDEL'})
if #ids > 0 then
  redis.call('XDEL', KEYS[1], unpack(ids))
  redis.call('HDEL', KEYS[2], unpack(ids))
end
if #ids < tonumber(ARGV[2]) then
  for _, day in ipairs(days) do
    if tonumber(day) < floor then
      redis.call('HDEL', KEYS[3], day)
      redis.call('HDEL', KEYS[4], 'audit:' .. day)
    end
  end
end
return #ids
