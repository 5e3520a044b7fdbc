#!lua flags=no-writes
--[[
  read_board: a part of a board: what comes behind a value and an id, or what surrounds a subject.

  KEYS     board, boards, demo; cold and meta, for the board of a day
  ARGV[1]  {field in `boards` or '', limit, negated value and id behind which to begin (id '': at the
           start), subject or '', neighbours; day and meter of a day's board}
  Returns  {state of the board or '', how many are ranked, index of the first that is told, {subject,
           negated value, ...}, index of the subject or -1}; values not above 0 are told, too, and nobody
           who is in demo mode is. Or {} when the day has left Redis, or has more than its board
  Time     O(limit + log subjects of the board * (length of an id + subjects in demo mode))
]]
local call, ask = redis.call, cmsgpack.unpack(ARGV[1])
local key, field, limit, value, id = KEYS[1], ask[1], ask[2], ask[3], ask[4]
local subject, neighbours = ask[5], ask[6]

-- Whether it was counted on the day while the meter was not ranked: include/note_ranked.
local function lacks_some(day, meter)
  local ranked = call('HMGET', KEYS[5], 'ranked', 'ranked:' .. meter)
  if not string.find(',' .. (ranked[1] or '') .. ',', ',' .. meter .. ',', 1, true) then return true end
  return ranked[2] and tonumber(ranked[2]) >= day
end
if KEYS[4] and (call('HEXISTS', KEYS[4], ask[7]) == 1 or lacks_some(ask[7], ask[8])) then return {} end

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

-- Where those stand who are not told, in order: the others close up.
local hidden, is_hidden = {}, {}
for _, demo in ipairs(call('SMEMBERS', KEYS[3])) do
  local at = call('ZRANK', key, demo)
  if at and at < count then hidden[#hidden + 1], is_hidden[at] = at, true end
end
table.sort(hidden)
local function hidden_before(at)
  local n = 0
  while hidden[n + 1] and hidden[n + 1] < at do n = n + 1 end
  return n
end

local last = -1
if subject ~= '' then
  index = call('ZRANK', key, subject) or -1
  if is_hidden[index] then index = -1 end
  first, last = index - neighbours, index + neighbours
  for q = hidden_before(index), 1, -1 do
    if hidden[q] >= first then first = first - 1 end
  end
  first = math.max(0, first)
  if index < 0 then last = -1 end
else
  if id ~= '' then first = index_behind() end
  index, last = -1, first + limit - 1
end
for q = hidden_before(math.max(first, index)) + 1, #hidden do
  if hidden[q] <= last then last = last + 1 end
end

local entries = {}
if last >= first then
  local found = call('ZRANGE', key, first, last, 'WITHSCORES')
  for q = 1, #found, 2 do
    if not is_hidden[first + (q - 1) / 2] then
      entries[#entries + 1], entries[#entries + 2] = found[q], found[q + 1]
    end
  end
end
if index >= 0 then index = index - hidden_before(index) end
return {state, count - #hidden, first - hidden_before(first), entries, index}
