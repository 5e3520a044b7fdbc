#!lua flags=no-writes
--[[
  list_holds: some of the holds of a sorted set, by its times, the last first. They go on behind a
  place, which is a time and an id and not a number of them: so it stays where it is while others
  come and go, and when the hold itself has gone.

  KEYS     holds, sorted set of holds by time
  ARGV     the highest and the lowest time, as ZRANGE takes them; time of the place ('': from the
           highest on), its id; count
  Returns  {{id, time, ...}, {hold, ...}}
  Time     O(count + log holds)
]]
local high, low, time, id, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local set = KEYS[2]

-- In the order of bytes, as Redis sorts: Lua's own is that of the server's locale.
local function is_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local start
if time == '' then
  start = redis.call('ZCOUNT', set, '(' .. high, '+inf')
else
  -- Among those of the same time, the first whose id comes behind the place's.
  start = redis.call('ZCOUNT', set, '(' .. time, '+inf')
  local last = start + redis.call('ZCOUNT', set, time, time)
  while start < last do
    local middle = math.floor((start + last) / 2)
    if is_before(redis.call('ZRANGE', set, middle, middle, 'REV')[1], id) then
      last = middle
    else
      start = middle + 1
    end
  end
end
local found = redis.call('ZRANGE', set, start, start + count - 1, 'REV', 'WITHSCORES')
local bound, is_open = tonumber((string.gsub(low, '^%(', ''))), string.sub(low, 1, 1) == '('
local ids, listed = {}, {}
for i = 1, #found, 2 do
  local at = tonumber(found[i + 1])
  if bound and (at < bound or is_open and at == bound) then break end
  ids[#ids + 1] = found[i]
  listed[#listed + 1], listed[#listed + 2] = found[i], found[i + 1]
end
return {listed, #ids > 0 and redis.call('HMGET', KEYS[1], unpack(ids)) or {}}
