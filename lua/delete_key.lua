#!lua
--[[
  delete_key: take a key out of the pool, whoever holds it. What was counted for its holders stays.

  KEYS     see include/pool
  ARGV     provider, id
  Returns  {DONE}, or {MISSING}
  Time     O(log keys)
]]
--@constants constants
--@constants pool_fields
--@include pool_members
--@include pool

local provider, id = ARGV[1], ARGV[2]
local value = redis.call('HGET', pool.keys, id)
local key = value and cmsgpack.unpack(value)
if not key or key[PROVIDER] ~= provider then return {MISSING} end
place(false, tonumber(id), key)
list(false, pool.listed, id)
if not fits() then return {TOO_LARGE} end
redis.call('HDEL', pool.keys, id)
redis.call('HDEL', pool.sealed, id)
redis.call('HDEL', pool.digests, key[DIGEST])
write_places()
note_change()
return {DONE}
