#!lua flags=no-writes
--[[
  read_lifetime_leaders: the subjects that used most of a meter ever, most first.

  A lifetime total stands in the subject's record. It is the sum of what the closed board has and
  of at most one open day's board, so the leaders are among the heads of these boards: Fagin's
  threshold algorithm (Fagin, Lotem, Naor: Optimal Aggregation Algorithms for Middleware, 2001).

  KEYS     subjects, closed board, then the board of each open day
  ARGV[1]  {limit, meter}
  Returns  {subject, negated total, ...}: the first `limit`, and all that equal the last of them,
           in no order among equals: Lua would compare ids by the server's locale
  Time     O(depth * boards) with the depth that makes sure, mostly little more than the limit
]]
--@constants constants

local ask = cmsgpack.unpack(ARGV[1])
local limit, meter = ask[1], ask[2]

local function total_of(raw)
  local record = raw and cmsgpack.unpack(raw) or {}
  for q = METERS, #record, 3 do
    if record[q] == meter then return record[q + 1] end
  end
  return 0
end

local seen, leaders, depth, read = {}, {}, limit, 0
while true do
  local bound, is_more = 0, false
  for b = 2, #KEYS do
    local head = redis.call('ZRANGE', KEYS[b], read, depth - 1, 'WITHSCORES')
    local new = {}
    for i = 1, #head, 2 do
      if not seen[head[i]] then
        seen[head[i]] = true
        new[#new + 1] = head[i]
      end
    end
    if #head == 2 * (depth - read) then
      is_more = true
      bound = bound - tonumber(head[#head])
    end
    for from = 1, #new, 1000 do
      local records = redis.call('HMGET', KEYS[1], unpack(new, from, math.min(from + 999, #new)))
      for i, raw in ipairs(records) do
        leaders[#leaders + 1] = {new[from + i - 1], total_of(raw)}
      end
    end
  end
  table.sort(leaders, function(a, b) return a[2] > b[2] end)
  -- A subject not seen yet has at most `bound`, what the boards' heads end with together. Equal
  -- values go by id, so those have to be seen, too.
  if not is_more or (#leaders >= limit and leaders[limit][2] > bound) then break end
  read, depth = depth, depth * 2
end

local reply, least = {}, leaders[math.min(limit, #leaders)]
for _, leader in ipairs(leaders) do
  if leader[2] < least[2] or leader[2] <= 0 then break end
  reply[#reply + 1] = leader[1]
  reply[#reply + 1] = string.format('%.0f', -leader[2])
end
return reply
