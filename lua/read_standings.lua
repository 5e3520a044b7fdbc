#!lua flags=no-writes
--[[
  read_standings: the records of some subjects, their scores on a window's board, and how far that has
  followed the log, at one instant.

  KEYS     subjects, boards, board, logs of the days of arrival around now
  ARGV     the board's field in `boards`; subjects
  Returns  {state of the board or '', ends of the logs (packed), records, scores}
  Time     O(subjects * log subjects of the board)
]]
--@include ends_of

local call, ids = redis.call, {unpack(ARGV, 2)}
return {
  call('HGET', KEYS[2], ARGV[1]) or '', ends_of(4, #KEYS), call('HMGET', KEYS[1], unpack(ids)),
  call('ZMSCORE', KEYS[3], unpack(ids)),
}
