#!lua flags=no-writes
--[[
  read_board: a part of a board: what comes behind a value and an id, or what surrounds a subject.

  KEYS     board, boards; cold, for the board of a day
  ARGV[1]  {field in `boards` or '', limit, negated value and id behind which to begin (id '': at the
           start), subject or '', neighbours, the day of a day's board}
  Returns  {state of the board or '', how many are ranked, index of the first that is told, {subject,
           negated value, ...}, index of the subject or -1}; values not above 0 are told, too. Or {} when
           the day has left Redis
  Time     O(limit + log subjects of the board * length of an id)
]]
local call, ask = redis.call, cmsgpack.unpack(ARGV[1])
local key, field, limit, value, id = KEYS[1], ask[1], ask[2], ask[3], ask[4]
local subject, neighbours = ask[5], ask[6]

if KEYS[3] and call('HEXISTS', KEYS[3], ask[7]) == 1 then return {} end

-- As bytes; Lua itself would go by the server's locale.
local function precedes(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then return a < b end
  end
  return #one < #other
end

-- The cursor's subject may have left, or have another value by now: where it would stand is searched.
local function index_behind()
  local score = string.format('%.0f', value)
  local low, high = call('ZCOUNT', key, '-inf', '(' .. score), call('ZCOUNT', key, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if precedes(id, call('ZRANGE', key, middle, middle)[1]) then high = middle else low = middle + 1 end
  end
  return low
end

local state = field ~= '' and call('HGET', KEYS[2], field) or ''
local count, first, index = call('ZCOUNT', key, '-inf', '(0'), 0, -1
if subject ~= '' then
  index = call('ZRANK', key, subject) or -1
  first, limit = math.max(0, index - neighbours), index + neighbours - math.max(0, index - neighbours) + 1
  if index < 0 then limit = 0 end
elseif id ~= '' then
  first = index_behind()
end
local entries = limit > 0 and call('ZRANGE', key, first, first + limit - 1, 'WITHSCORES') or {}
return {state, count, first, entries, index}
