#!lua flags=no-writes
--[[
  read_ranks: what some subjects used on a day, and their scores on its boards, at one instant.

  KEYS     subjects, `use` of the day, boards
  ARGV     subjects
  Returns  {records, entries of `use`, scores on the first board, ...}
  Time     O(subjects * boards)
]]
local reply = {redis.call('HMGET', KEYS[1], unpack(ARGV)), redis.call('HMGET', KEYS[2], unpack(ARGV))}
for i = 3, #KEYS do reply[i] = redis.call('ZMSCORE', KEYS[i], unpack(ARGV)) end
return reply
