#!lua
--[[
  apply_board: bring a board further along the log, unless somebody else did. States are opaque here:
  a board is written only from the very state that its caller has seen, so nothing counts twice, and only
  with the log of the same data: after Redis was emptied, a new board may be in a state that the old one had.

  A value below 0 stays, out of sight behind all others: logs of two days of arrival are not read in the
  order in which their events were counted, so what takes back may come before what it takes back.

  KEYS     boards, board, meta
  ARGV     the board's field in `boards`; the state that is expected; the state afterwards; {subjects,
           amounts} (packed); name of the data that these are of
  Returns  1, or 0 when the board is in another state, or of other data
  Time     O(subjects * log subjects of the board)
]]
--@include require_rights
--@include add_values

local field, expected, state = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', KEYS[1], field) ~= expected then return 0 end
if (redis.call('HGET', KEYS[3], 'dataset') or '') ~= ARGV[5] then return 0 end
require_rights(KEYS[2], {'ZADD', 'ZREM', 'HSET'})
local items = cmsgpack.unpack(ARGV[4])
if #items[1] > 0 then
  local adds, drops = add_values(KEYS[2], items[1], items[2])
  if #adds > 0 then redis.call('ZADD', KEYS[2], unpack(adds)) end
  if #drops > 0 then redis.call('ZREM', KEYS[2], unpack(drops)) end
end
redis.call('HSET', KEYS[1], field, state)
return 1
