#!lua
--[[
  cut_day: begin a snapshot of a day. It holds what is counted at this instant: whatever is read
  later is brought back to it by the log, from the ends that are told here.

  A snapshot that is begun again without a change between gets the time of the first one, so that
  both are the same bytes. What has left Redis cannot be snapshot any more: the rollups of a day
  expire, and may have been begun anew since by a late event.

  KEYS     changes, snapshots, hours of the day, logs of the days of arrival around now
  ARGV[1]  {day, 1 if it is final, now_ms}
  Returns  {changes of the day, ends of the logs (packed), when it was begun first}, or {} when a
           part of the day has left Redis
  Time     O(number of logs)
]]
--@include log_ends

local ask = cmsgpack.unpack(ARGV[1])
local day, final, began = ask[1], ask[2], ask[3]
local changes, ends = log_ends(KEYS[1], day, -1, 4)
local time = redis.call('TIME')
local expires, old = redis.call('PEXPIRETIME', KEYS[3]), redis.call('HGET', KEYS[2], day)
if old then
  local old_changes, old_final, old_began, old_expires = unpack(cmsgpack.unpack(old))
  if old_expires > 0 and old_expires <= tonumber(time[1]) * 1000 then return {} end
  if old_changes == changes and old_final == final then began = old_began end
end
redis.call('HSET', KEYS[2], day, cmsgpack.pack({changes, final, began, expires}))
return {changes, ends, string.format('%.0f', began)}
