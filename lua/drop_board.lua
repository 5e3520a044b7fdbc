#!lua
--[[
  drop_board: forget a board that nobody used, or one that cannot be right; it is built again when it is
  asked for. A build that its builder has left is forgotten, too.

  KEYS     builds, new board, board, boards, used
  ARGV     the board's field; the state in which it cannot be right, or ''; a time in ms: it is
           forgotten if it was not used since, too
  Returns  1 if there is no board any more, or 0
  Time     O(1)
]]
--@include require_rights

require_rights(KEYS[1], {'UNLINK', 'HDEL'})
local call, field = redis.call, ARGV[1]
local time, held = call('TIME'), call('HGET', KEYS[1], field)
if held then
  local _, ends = cmsgpack.unpack(held)
  if ends + 60000 < tonumber(time[1]) * 1000 then
    call('UNLINK', KEYS[2])
    call('HDEL', KEYS[1], field)
  end
else
  call('UNLINK', KEYS[2])
end
local state, used = call('HGET', KEYS[4], field), call('HGET', KEYS[5], field)
if state and state ~= ARGV[2] and used and tonumber(used) >= tonumber(ARGV[3]) then return 0 end
call('UNLINK', KEYS[3])
call('HDEL', KEYS[4], field)
call('HDEL', KEYS[5], field)
return 1
