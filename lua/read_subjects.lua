#!lua flags=no-writes
--[[
  read_subjects: what some subjects used on a day, and where the logs end at this instant. A subject
  moves from its record to `use` of the day in one step, so it is found in one of them, unless it was a
  guest who has become a user.

  KEYS     subjects, `use` of the day, changes, logs as cut_day had them
  ARGV[1]  {day, changes that are known, subjects}
  Returns  {changes, ends of the logs ('' if nothing changed), records, entries of `use`}
  Time     O(number of subjects)
]]
--@include log_ends

local ask = cmsgpack.unpack(ARGV[1])
local changes, ends = log_ends(KEYS[3], ask[1], ask[2], 4)
if #ask[3] == 0 then return {changes, ends, {}, {}} end
return {
  changes, ends, redis.call('HMGET', KEYS[1], unpack(ask[3])), redis.call('HMGET', KEYS[2], unpack(ask[3])),
}
