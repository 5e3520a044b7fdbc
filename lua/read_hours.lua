#!lua flags=no-writes
--[[
  read_hours: some of a day's sums by hour, action and model, and where the logs end at this instant.

  KEYS     hours of the day, changes, logs as cut_day had them
  ARGV[1]  {day, changes that are known, cursor, count}
  Returns  {changes, ends of the logs ('' if nothing changed), next cursor, {field, value, ...}}
  Time     O(count)
]]
--@include log_ends

local ask = cmsgpack.unpack(ARGV[1])
local changes, ends = log_ends(KEYS[2], ask[1], ask[2], 3)
local slice = redis.call('HSCAN', KEYS[1], ask[3], 'COUNT', ask[4])
return {changes, ends, slice[1], slice[2]}
