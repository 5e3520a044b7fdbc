#!lua flags=no-writes
--[[
  read_window: what some subjects have used on some days, and where the logs end at this instant. A
  subject moves from its record to `use` of a day in one step, so it is found in one of them.

  KEYS     subjects, `use` of the days, logs as begin_board had them
  ARGV[1]  {subjects, number of days}
  Returns  {ends of the logs (packed), records, then per day entries of `use`, or {} if it has none}
  Time     O(subjects * days)
]]
--@include ends_of

local ask = cmsgpack.unpack(ARGV[1])
local ids, days = ask[1], ask[2]
local reply = {ends_of(days + 2, #KEYS), redis.call('HMGET', KEYS[1], unpack(ids))}
for i = 2, days + 1 do
  reply[#reply + 1] = redis.call('HLEN', KEYS[i]) > 0 and redis.call('HMGET', KEYS[i], unpack(ids)) or {}
end
return reply
