#!lua
--[[
  cut_day: begin a snapshot of a day. It holds what is counted at this instant: whatever is read
  later is brought back to it by the log, from the ends that are told here.

  A snapshot that is begun again without a change between gets the time of the first one, so that
  both are the same bytes. A day that has left Redis, or whose sums were lost, cannot be snapshot.

  KEYS     changes, snapshots, hours of the day, cold, meta, logs of the days of arrival around now
  ARGV[1]  {day, 1 if it is final, now_ms, 1 if its file has no sums: it may be without hours then}
  Returns  {changes of the day, ends of the logs (packed), when it was begun first, 1 if all subjects
           have left the day}, or {} when the day, or a part of it, has left Redis
  Time     O(number of logs)
]]
--@include log_ends

local ask = cmsgpack.unpack(ARGV[1])
local day, final, began, may_be_empty = ask[1], ask[2], ask[3], ask[4] == 1
local old = redis.call('HGET', KEYS[2], day)
if redis.call('HEXISTS', KEYS[4], day) == 1 then return {} end
if redis.call('EXISTS', KEYS[3]) == 0 and not may_be_empty then return {} end
local changes, ends = log_ends(KEYS[1], day, -1, 6)
if old then
  local old_changes, old_final, old_began = unpack(cmsgpack.unpack(old))
  if old_changes == changes and old_final == final then began = old_began end
end
redis.call('HSET', KEYS[2], day, cmsgpack.pack({changes, final, began}))
local closed_before = tonumber(redis.call('HGET', KEYS[5], 'closed_before') or day)
return {changes, ends, string.format('%.0f', began), day < closed_before and 1 or 0}
