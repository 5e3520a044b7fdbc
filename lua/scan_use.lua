#!lua flags=no-writes
--[[
  scan_use: some of what subjects used on a day that all of them have left, and where the logs end at
  this instant.

  KEYS     `use` of the day, logs as begin_board had them
  ARGV     cursor, count
  Returns  {ends of the logs (packed), next cursor, {subject, entry, ...}}
  Time     O(count)
]]
--@include ends_of

local ends, slice = ends_of(2, #KEYS), redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
return {ends, slice[1], slice[2]}
