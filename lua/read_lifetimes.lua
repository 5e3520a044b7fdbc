#!lua flags=no-writes
--[[
  read_lifetimes: the records of some subjects, and what they used on days before, at one instant.

  KEYS     subjects, `use` of each day
  ARGV     subjects
  Returns  {records, entries of the first day, ...}
  Time     O(subjects * days)
]]
local reply = {redis.call('HMGET', KEYS[1], unpack(ARGV))}
for i = 2, #KEYS do reply[i] = redis.call('HMGET', KEYS[i], unpack(ARGV)) end
return reply
