#!lua
--[[
  assign_keys: hand out keys of a provider: those that nobody has, that are active, and whose balance is
  above the provider's threshold or unknown. Highest balance first, unknown ones last, then the oldest.

  KEYS     see include/pool
  ARGV     provider, subject, how many at most (1 to 1,000)
  Returns  {DONE, {id, key, sealed secret, ...}}: fewer than asked, or none, if there are no more;
           {TOO_LARGE} when the balances of the subject's keys would have no exact sum
  Time     O(number of keys * log keys)
]]
--@constants constants
--@constants pool_fields
--@include pool_members
--@include pool

local provider, subject, count = ARGV[1], ARGV[2], tonumber(ARGV[3])
local threshold = tonumber(redis.call('HGET', pool.providers, provider) or THRESHOLD)
local found = redis.call('ZRANGE', pool.free, '-inf', string.format('(%.0f', -threshold), 'BYSCORE', 'LIMIT', 0, count)
if #found < count then
  local unknown = redis.call('ZRANGE', pool.free, '+inf', '+inf', 'BYSCORE', 'LIMIT', 0, count - #found)
  for _, member in ipairs(unknown) do found[#found + 1] = member end
end
if #found == 0 then return {DONE, {}} end
local ids = {}
for i, member in ipairs(found) do ids[i] = string.format('%.0f', (struct.unpack('>I7', member, 8))) end
local keys, sealed = redis.call('HMGET', pool.keys, unpack(ids)), redis.call('HMGET', pool.sealed, unpack(ids))
local writes, listed = {}, {}
for i, id in ipairs(ids) do
  local key = keys[i] and cmsgpack.unpack(keys[i])
  if not key or key[HOLDER] ~= '' or key[PROVIDER] ~= provider then return {DAMAGED} end
  place(false, tonumber(id), key)
  key[HOLDER] = subject
  place(true, tonumber(id), key)
  local value, n = cmsgpack.pack(key), #listed
  writes[2 * i - 1], writes[2 * i] = id, value
  listed[n + 1], listed[n + 2], listed[n + 3] = id, value, sealed[i] or ''
end
local holder = holder_of(subject)
holder[RECEIVED] = holder[RECEIVED] + #ids
if not fits() then return {TOO_LARGE} end
redis.call('HSET', pool.keys, unpack(writes))
write_places()
note_change()
return {DONE, listed}
