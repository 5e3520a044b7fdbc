#!lua
--[[
  settle_notice: write down what became of a delivery, or deliver again what was given up.

  KEYS     notices, due, dead
  ARGV     id; the attempt that it is about (0: any); "sent" | "failed" | "unsent" (this one does not count)
           | "dead" | "again"; when: it is due next, was given up; what it failed for; how many may be dead
  Returns  1; 0 when there is no such notice, or somebody else has claimed it since; -1 when one is to be
           delivered again that was not given up
  Time     O(log notices)
]]
--@constants alert_fields
--@include require_rights
local call, id, outcome, at = redis.call, ARGV[1], ARGV[3], ARGV[4]
local value = call('HGET', KEYS[1], id)
if not value then return 0 end
local notice, dead = cmsgpack.unpack(value), call('ZSCORE', KEYS[3], id)
call('ZCARD', KEYS[2])
if outcome == 'again' then
  if not dead then return -1 end
  notice[NOTICE_ATTEMPTS] = 0
elseif outcome ~= 'sent' then
  if dead or notice[NOTICE_ATTEMPTS] ~= tonumber(ARGV[2]) then return 0 end
  notice[NOTICE_ERROR] = ARGV[5]
  if outcome == 'unsent' then notice[NOTICE_ATTEMPTS] = notice[NOTICE_ATTEMPTS] - 1 end
end

require_rights(KEYS[1], {'HDEL', 'HSET', 'ZADD', 'ZREM'})
if outcome == 'sent' then
  call('HDEL', KEYS[1], id)
  call('ZREM', KEYS[2], id)
  call('ZREM', KEYS[3], id)
  return 1
end
call('HSET', KEYS[1], id, cmsgpack.pack(notice))
local from, to = KEYS[3], KEYS[2]
if outcome == 'dead' then from, to = to, from end
call('ZREM', from, id)
call('ZADD', to, at, id)
-- The oldest make room; a few at a time, if there was a higher bound once.
local surplus = math.min(call('ZCARD', KEYS[3]) - tonumber(ARGV[6]), 10)
if surplus > 0 then
  local oldest = call('ZRANGE', KEYS[3], 0, surplus - 1)
  call('ZREM', KEYS[3], unpack(oldest))
  call('HDEL', KEYS[1], unpack(oldest))
end
return 1
