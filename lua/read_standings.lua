#!lua flags=no-writes
--[[
  read_standings: what some subjects have used, their scores on boards of windows, and how far each of
  these has followed the log, at one instant.

  KEYS     subjects, boards, the boards, `use` of days, logs of the days of arrival around now
  ARGV[1]  {the boards' fields in `boards`, number of days, subjects}
  Returns  {ends of the logs (packed), states of the boards, records, then scores per board, then per day
           entries of `use`, or {} if it has none}
  Time     O(subjects * (days + boards))
]]
--@include ends_of

local call, ask = redis.call, cmsgpack.unpack(ARGV[1])
local fields, days, ids = ask[1], ask[2], ask[3]
local last = 2 + #fields
local reply = {
  ends_of(last + days + 1, #KEYS), call('HMGET', KEYS[2], unpack(fields)),
  call('HMGET', KEYS[1], unpack(ids)),
}
for i = 3, last do reply[#reply + 1] = call('ZMSCORE', KEYS[i], unpack(ids)) end
for i = last + 1, last + days do
  reply[#reply + 1] = call('HLEN', KEYS[i]) > 0 and call('HMGET', KEYS[i], unpack(ids)) or {}
end
return reply
