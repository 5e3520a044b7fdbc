#!lua
--[[
  import_keys: add keys to the pool of a provider. A secret that the provider has already is left out.

  KEYS     see include/pool
  ARGV     provider, now_ms, name of the key that sealed the secrets, rows: {{id, name, state,
           balance ('': unknown), sealed secret, digest of the secret}, ...} (packed); at most 200
  Returns  {DONE, {1 or 0 per row}}: 0 for a secret that is there; {FOREIGN} when those that are there were
           sealed with another key; {TOO_MANY} for one provider more than there may be; {DAMAGED} for an
           id that is taken
  Time     O(rows * log keys)
]]
--@constants constants
--@constants pool_fields
--@include pool_members
--@include pool

local provider, now, sealer, rows = ARGV[1], tonumber(ARGV[2]), ARGV[3], cmsgpack.unpack(ARGV[4])
local known = redis.call('HGET', pool.facts, 'sealed_by')
if known and known ~= sealer and redis.call('HLEN', pool.keys) > 0 then return {FOREIGN} end
if redis.call('HEXISTS', pool.providers, provider) == 0 and redis.call('HLEN', pool.providers) >= PROVIDERS_MAX then
  return {TOO_MANY}
end
local digests, ids = {}, {}
for i, row in ipairs(rows) do ids[i], digests[i] = row[1], row[6] end
local taken = redis.call('HMGET', pool.digests, unpack(digests))
for _, key in ipairs(redis.call('HMGET', pool.keys, unpack(ids))) do
  if key then return {DAMAGED} end
end
local results, keys, sealed, names = {}, {}, {}, {}
for i, row in ipairs(rows) do
  local id, digest = row[1], row[6]
  results[i] = (taken[i] or names[digest]) and 0 or 1
  if results[i] == 1 then
    names[digest] = id
    local key = {provider, row[2], row[3], row[4], '', 0, '', now, digest}
    keys[#keys + 1], keys[#keys + 2] = id, cmsgpack.pack(key)
    sealed[#sealed + 1], sealed[#sealed + 2] = id, row[5]
    list(true, pool.listed, id, id)
    place(true, id, key)
  end
end
if #keys > 0 then
  redis.call('HSET', pool.facts, 'sealed_by', sealer)
  redis.call('HSETNX', pool.providers, provider, THRESHOLD)
  redis.call('HSET', pool.keys, unpack(keys))
  redis.call('HSET', pool.sealed, unpack(sealed))
  for digest, id in pairs(names) do redis.call('HSET', pool.digests, digest, id) end
  write_places()
  note_change()
end
return {DONE, results}
