#!lua
--[[
  begin_erasure: note that a subject is to be erased, unless that is under way. One that has taken the subject
  out already is about what was before.

  KEYS     erasures, those that are under way, all by when they were asked for
  ARGV     id, erasure (see include/erasure_fields), the subject, now_ms
  Returns  id of the erasure that is under way by now
  Time     O(erasures under way)
]]
--@constants erasure_fields
--@include require_rights

local call, id = redis.call, ARGV[1]
for _, other in ipairs(call('SMEMBERS', KEYS[2])) do
  local packed = call('HGET', KEYS[1], other)
  local record = packed and cmsgpack.unpack(packed)
  if record and record[ERASURE_STEP] < ERASURE_LOG and record[ERASURE_NAMES][1] == ARGV[3] then return other end
end
call('ZCARD', KEYS[3])
require_rights(KEYS[1], {'HSET', 'SADD', 'ZADD'})
call('HSET', KEYS[1], id, ARGV[2])
call('SADD', KEYS[2], id)
call('ZADD', KEYS[3], ARGV[4], id)
return id
