#!lua
--[[
  finish_board: put a board that was built in its place, unless a day has left Redis or come back
  meanwhile: it may have been read before and after, or not at all.

  KEYS     builds, new board, board, boards, used, cold
  ARGV     the board's field; token of who built it; its state; now in ms; {first day, last day, cold day,
           revision, ...} as begin_board told it, sorted (packed)
  Returns  1, or 0 when the right to build was lost, or the days have changed
  Time     O(number of cold days)
]]
--@include require_rights

local call, field = redis.call, ARGV[1]
local held, had = call('HGET', KEYS[1], field), cmsgpack.unpack(ARGV[5])
if not held then return 0 end
local token = cmsgpack.unpack(held)
if token ~= ARGV[2] then return 0 end
local cold, count, was = call('HGETALL', KEYS[6]), 0, {}
for i = 3, #had, 2 do was[had[i]] = had[i + 1] end
for i = 1, #cold, 2 do
  local day = tonumber(cold[i])
  if day >= had[1] and day <= had[2] then
    count = count + 1
    if was[day] ~= tonumber(cold[i + 1]) then return 0 end
  end
end
if count ~= (#had - 2) / 2 then return 0 end
call('HLEN', KEYS[5])
call('HLEN', KEYS[4])
require_rights(KEYS[1], {'HDEL', 'HSET', 'RENAME', 'UNLINK'})
-- By itself RENAME would free a whole board at once.
call('UNLINK', KEYS[3])
if call('EXISTS', KEYS[2]) == 1 then call('RENAME', KEYS[2], KEYS[3]) end
call('HSET', KEYS[4], field, ARGV[3])
call('HSET', KEYS[5], field, ARGV[4])
call('HDEL', KEYS[1], field)
return 1
