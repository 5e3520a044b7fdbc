#!lua
--[[
  save_erasure: write how far an erasure is, as long as it is under way. In the same step in which it is done it is
  not any more, and the state counts as changed: the next snapshot has its receipt. The number of API keys stays:
  revoke_key counts them, for others too.

  KEYS     erasures, those that are under way, changes
  ARGV     id, erasure (see include/erasure_fields)
  Returns  1, or 0 when it is not under way: nothing is written
  Time     O(names in it)
]]
--@constants erasure_fields
--@include require_rights

local call, id, erasure = redis.call, ARGV[1], cmsgpack.unpack(ARGV[2])
if call('SISMEMBER', KEYS[2], id) == 0 then return 0 end
-- All that is written has the right type, or it fails here.
local packed = call('HGET', KEYS[1], id)
call('HLEN', KEYS[3])
if packed then
  erasure[ERASURE_REMOVED][REMOVED_API_KEYS] = cmsgpack.unpack(packed)[ERASURE_REMOVED][REMOVED_API_KEYS]
end
require_rights(KEYS[1], {'HINCRBY', 'HSET', 'SREM'})
call('HSET', KEYS[1], id, cmsgpack.pack(erasure))
if erasure[ERASURE_STEP] == ERASURE_DONE then
  call('SREM', KEYS[2], id)
  call('HINCRBY', KEYS[3], 'state', 1)
end
return 1
