#!lua
--[[
  begin_board: take the right to build a board, which ends by itself, and tell the instant that the
  board will hold: where the logs end, and which days have left Redis.

  KEYS     builds, new board, boards, cold, changes, meta, logs of the days of arrival around now
  ARGV     the board's field; token of who asks (process, dot, number); for how long in ms
  Returns  {ends of the logs (packed), {cold day, revision, ...}, {day that was ever changed, ...}, day
           before which all days are closed, or '', name of the data or ''}; or {} when the board is there or
           somebody else builds it
  Time     O(number of days that were ever changed)
]]
--@include ends_of
--@include require_rights

local call, field = redis.call, ARGV[1]
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local held = call('HGET', KEYS[1], field)
if held then
  local token, ends = cmsgpack.unpack(held)
  -- A process may begin anew what it has given up.
  local process = string.match(ARGV[2], '^%x+')
  if ends > now and string.match(token, '^%x+') ~= process then return {} end
end
if call('HEXISTS', KEYS[3], field) == 1 then return {} end
local ends, cold = ends_of(7, #KEYS), call('HGETALL', KEYS[4])
local changed = call('HKEYS', KEYS[5])
require_rights(KEYS[1], {'HSET', 'UNLINK'})
-- What a builder has left here that died.
call('UNLINK', KEYS[2])
call('HSET', KEYS[1], field, cmsgpack.pack(ARGV[2], now + tonumber(ARGV[3])))
local facts = call('HMGET', KEYS[6], 'closed_before', 'dataset')
return {ends, cold, changed, facts[1] or '', facts[2] or ''}
