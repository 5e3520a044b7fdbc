#!lua
--[[
  restore_pool: write keys of one provider, and what was ever counted of holders, while this restore goes
  on. The lists, and the sums over what a holder has, are made from the keys.

  KEYS     see include/pool, then meta
  ARGV     token of the restore, {{id, key, sealed secret}, ...}, {{subject, received, first uses}, ...}
           (packed); at most 200 of each
  Returns  1; 0 when another restore has begun since; {subject} of a sum that would not be exact
  Time     O(values * log keys)
]]
--@constants constants
--@constants pool_fields
--@include pool_members
--@include pool

if redis.call('HGET', KEYS[13], 'restoring') ~= ARGV[1] then return 0 end
local rows, counted = cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3])
local keys, sealed, digests = {}, {}, {}
for i, row in ipairs(rows) do
  local id, key = row[1], row[2]
  keys[2 * i - 1], keys[2 * i] = id, cmsgpack.pack(key)
  sealed[2 * i - 1], sealed[2 * i] = id, row[3]
  digests[2 * i - 1], digests[2 * i] = key[DIGEST], id
  list(true, pool.listed, id, id)
  place(true, tonumber(id), key)
end
for _, row in ipairs(counted) do
  local holder = holder_of(row[1])
  holder[RECEIVED], holder[FIRST_USES] = row[2], row[3]
end
if not fits() then return {''} end
if #keys > 0 then
  redis.call('HSET', pool.keys, unpack(keys))
  redis.call('HSET', pool.sealed, unpack(sealed))
  redis.call('HSET', pool.digests, unpack(digests))
end
write_places()
return 1
