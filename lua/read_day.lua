#!lua flags=no-writes
--[[
  read_day: some of a day's sums by hour, action and model, unless the day has left Redis.

  KEYS     cold, hours of the day
  ARGV     day, cursor, count
  Returns  {revision of its file if it has left, or ''; next cursor, {field, value, ...}}
  Time     O(count)
]]
local revision = redis.call('HGET', KEYS[1], ARGV[1])
if revision then return {revision, '0', {}} end
local slice = redis.call('HSCAN', KEYS[2], ARGV[2], 'COUNT', ARGV[3])
return {'', slice[1], slice[2]}
