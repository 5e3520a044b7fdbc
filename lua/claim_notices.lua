#!lua
--[[
  claim_notices: take some notices that are due, to deliver them. Nobody else gets them until the claim is
  over: if whoever has them dies, they are due again then.

  KEYS     notices, due
  ARGV     now_ms, when the claim is over (ms), count (1 to 100)
  Returns  {id, notice, ...}, each with this attempt counted; see include/alert_fields
  Time     O(count + log notices)
]]
--@constants alert_fields
--@include require_rights
local ids = redis.call('ZRANGE', KEYS[2], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[3])
if #ids == 0 then return {} end
local values, found = redis.call('HMGET', KEYS[1], unpack(ids)), {}
for i, id in ipairs(ids) do
  -- What is no notice keeps no other from being delivered.
  local is_read, notice = pcall(cmsgpack.unpack, values[i] or '')
  if is_read and type(notice) == 'table' and type(notice[NOTICE_ATTEMPTS]) == 'number' then
    notice[NOTICE_ATTEMPTS] = notice[NOTICE_ATTEMPTS] + 1
    found[#found + 1], found[#found + 2] = id, cmsgpack.pack(notice)
  end
end
require_rights(KEYS[1], {'HSET', 'ZADD', 'ZREM'})
for i, id in ipairs(ids) do
  if values[i] then
    redis.call('ZADD', KEYS[2], ARGV[2], id)
  else
    redis.call('ZREM', KEYS[2], id)
  end
end
if #found > 0 then redis.call('HSET', KEYS[1], unpack(found)) end
return found
