#!lua flags=no-writes
--[[
  list_notices: some notices by time, the first first, behind a place: a time and an id. If the notice of the
  place is gone, or has another time by now, they go on at that time.

  KEYS     notices, sorted set of notices
  ARGV     time and id of the place ('' and '': from the first on), count
  Returns  {{id, time, ...}, {notice, ...}}
  Time     O(count + log notices)
]]
local start = 0
if ARGV[1] ~= '' then
  if tonumber(redis.call('ZSCORE', KEYS[2], ARGV[2]) or '') == tonumber(ARGV[1]) then
    start = redis.call('ZRANK', KEYS[2], ARGV[2]) + 1
  else
    start = redis.call('ZCOUNT', KEYS[2], '-inf', '(' .. ARGV[1])
  end
end
local found = redis.call('ZRANGE', KEYS[2], start, start + tonumber(ARGV[3]) - 1, 'WITHSCORES')
local ids = {}
for i = 1, #found, 2 do ids[#ids + 1] = found[i] end
return {found, #ids > 0 and redis.call('HMGET', KEYS[1], unpack(ids)) or {}}
