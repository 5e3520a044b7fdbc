#!lua flags=no-writes
--[[
  list_keys: some keys of a provider, by id.

  KEYS     keys, sealed secrets, sorted set of the provider's keys
  ARGV     the id behind which they begin, how many
  Returns  {id, key, sealed secret, ...}
  Time     O(count + log keys)
]]
local ids = redis.call('ZRANGE', KEYS[3], '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2])
if #ids == 0 then return {} end
local keys, sealed = redis.call('HMGET', KEYS[1], unpack(ids)), redis.call('HMGET', KEYS[2], unpack(ids))
local listed, n = {}, 0
for i, id in ipairs(ids) do
  listed[n + 1], listed[n + 2], listed[n + 3], n = id, keys[i] or '', sealed[i] or '', n + 3
end
return listed
