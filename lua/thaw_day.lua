#!lua
--[[
  thaw_day: bring a slice of a day back from its file, or say at the end that all of it is back.
  What is written is what the file says, so that two who do so at once, or one who begins anew,
  write the same. As long as the day's mark is there, nothing is counted on the day.

  KEYS     cold, `use`, hours and day of the day, its boards (one per ranked meter)
  ARGV[1]  {day, revision of its mark, ranked meters}
  ARGV[2]  {subjects, hours, day}: {{subject, events, first_ms, last_ms, meter, amount, ...}, ...},
           {{field, events, meter, sum, ...}, ...} twice; or at the end:
  ARGV[3]  how many entries each of the keys but the first has to have
  Returns  1; 0: the day has no such mark any more, and nothing is written; 2: at the end, when
           something is missing or too much, for the day came back and left again meanwhile: nothing
           of it is there now
  Time     O(entries), and O(log subjects) per subject and ranked meter
]]
--@constants constants
--@include require_rights

local call, pack = redis.call, cmsgpack.pack
local ask = cmsgpack.unpack(ARGV[1])
local sizes = {call('HLEN', KEYS[2]), call('HLEN', KEYS[3]), call('HLEN', KEYS[4])}
for i = 5, #KEYS do sizes[i - 1] = call('ZCARD', KEYS[i]) end
if tonumber(call('HGET', KEYS[1], ask[1]) or -1) ~= ask[2] then return 0 end
require_rights(KEYS[1], {'HDEL', 'HSET', 'UNLINK', 'ZADD'})
if ARGV[3] then
  for i, size in ipairs(cmsgpack.unpack(ARGV[3])) do
    if sizes[i] ~= size then
      call('UNLINK', unpack(KEYS, 2))
      return 2
    end
  end
  call('HDEL', KEYS[1], ask[1])
  return 1
end

local boards = {}
for i, meter in ipairs(ask[3]) do boards[meter] = {key = KEYS[4 + i]} end
local part, uses = cmsgpack.unpack(ARGV[2]), {}
for _, one in ipairs(part[1]) do
  local entry, n = {}, USE_METERS
  entry[USE_EVENTS], entry[USE_FIRST], entry[USE_LAST] = one[2], one[3], one[4]
  for q = 5, #one, 2 do
    entry[n], entry[n + 1], n = one[q], one[q + 1], n + 2
    local board = boards[one[q]]
    if board and one[q + 1] > 0 then
      board[#board + 1], board[#board + 2] = string.format('%d', -one[q + 1]), one[1]
    end
  end
  uses[#uses + 1], uses[#uses + 2] = one[1], pack(entry)
end
if #uses > 0 then call('HSET', KEYS[2], unpack(uses)) end
for _, board in pairs(boards) do
  if #board > 0 then call('ZADD', board.key, unpack(board)) end
end
for i = 2, 3 do
  local rollups = {}
  for _, cell in ipairs(part[i]) do
    local field = table.remove(cell, 1)
    rollups[#rollups + 1], rollups[#rollups + 2] = field, pack(cell)
  end
  if #rollups > 0 then call('HSET', KEYS[i + 1], unpack(rollups)) end
end
return 1
