#!lua
--[[
  fill_board: write some values of a board that is being built.

  KEYS     builds, new board
  ARGV     the board's field; token of who builds it; for how long it goes on in ms; 1 to add to what is
           there, 0 to replace it; {subjects, amounts} (packed)
  Returns  1, or 0 when the right to build was lost
  Time     O(subjects * log subjects of the board)
]]
--@include add_values
--@include require_rights

local call, field = redis.call, ARGV[1]
local token = cmsgpack.unpack(call('HGET', KEYS[1], field) or cmsgpack.pack(''))
if token ~= ARGV[2] then return 0 end
local time, items = call('TIME'), cmsgpack.unpack(ARGV[5])
local adds, drops = {}, {}
if #items[1] > 0 and ARGV[4] == '1' then
  adds, drops = add_values(KEYS[2], items[1], items[2])
else
  call('ZCARD', KEYS[2])
  for i, amount in ipairs(items[2]) do
    adds[2 * i - 1], adds[2 * i] = string.format('%.0f', -amount), items[1][i]
  end
end
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
require_rights(KEYS[1], {'HSET', 'ZADD', 'ZREM'})
call('HSET', KEYS[1], field, cmsgpack.pack(token, now + tonumber(ARGV[3])))
if #adds > 0 then call('ZADD', KEYS[2], unpack(adds)) end
if #drops > 0 then call('ZREM', KEYS[2], unpack(drops)) end
return 1
