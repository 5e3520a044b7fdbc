#!lua
--[[
  revoke_key: revoke an API key of a subject that is being erased, unless the key changed since it was read, and
  count it in the receipt in the same step. From when the subject was taken out, its keys are somebody else's.

  KEYS     API keys, version, changes, sorted set of the workspace's API keys, erasures
  ARGV     id of the key, record that was read, id of the erasure
  Returns  1, or 0 when nothing was revoked
  Time     O(log keys + names in the erasure)
]]
--@constants erasure_fields
--@include require_rights

local call, id = redis.call, ARGV[1]
local packed = call('HGET', KEYS[5], ARGV[3])
local erasure = packed and cmsgpack.unpack(packed)
if not erasure or erasure[ERASURE_STEP] >= ERASURE_LOG then return 0 end
if call('HGET', KEYS[1], id) ~= ARGV[2] then return 0 end
-- All that is written has the right type, or it fails here.
call('STRLEN', KEYS[2])
call('HLEN', KEYS[3])
call('ZCARD', KEYS[4])
require_rights(KEYS[1], {'HSET', 'HDEL', 'ZREM', 'INCR', 'HINCRBY'})
local removed = erasure[ERASURE_REMOVED]
removed[REMOVED_API_KEYS] = removed[REMOVED_API_KEYS] + 1
call('HSET', KEYS[5], ARGV[3], cmsgpack.pack(erasure))
call('HDEL', KEYS[1], id)
call('ZREM', KEYS[4], id)
call('INCR', KEYS[2])
call('HINCRBY', KEYS[3], 'state', 1)
return 1
