#!lua
--[[
  save_erasure: write how far an erasure is, as long as it is under way. In the same step in which it is done it is
  not any more, and the state counts as changed: the next snapshot has its receipt.

  KEYS     erasures, those that are under way, changes
  ARGV     id, erasure (see include/erasure_fields)
  Returns  1, or 0 when it is not under way: nothing is written
  Time     O(names in it)
]]
--@constants erasure_fields

local call, id = redis.call, ARGV[1]
if call('SISMEMBER', KEYS[2], id) == 0 then return 0 end
-- All that is written has the right type, or it fails here.
call('HLEN', KEYS[1])
call('HLEN', KEYS[3])
call('HSET', KEYS[1], id, ARGV[2])
if cmsgpack.unpack(ARGV[2])[ERASURE_STEP] == ERASURE_DONE then
  call('SREM', KEYS[2], id)
  call('HINCRBY', KEYS[3], 'state', 1)
end
return 1
