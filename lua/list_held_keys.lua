#!lua flags=no-writes
--[[
  list_held_keys: some of a holder's keys of one provider, by id; or those that were used last.

  KEYS     keys, sealed secrets, held or used
  ARGV     subject, provider ('': KEYS[3] is used), the id behind which they begin, how many
  Returns  {id, key, sealed secret, ...}
  Time     O(count + log keys)
]]
--@constants constants
--@include pool_members

local owner, provider, after = of_holder(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local low, high = '(' .. owner, '(' .. owner .. '\255'
if provider ~= '' then
  low = '(' .. owner .. provider .. '\0' .. struct.pack('>I7', after)
  high = '(' .. owner .. provider .. '\1'
end
local found = redis.call('ZRANGE', KEYS[3], low, high, 'BYLEX', 'LIMIT', 0, ARGV[4])
if #found == 0 then return {} end
local ids = {}
for i, member in ipairs(found) do
  local id = struct.unpack('>I7', member, #member - 6)
  ids[i] = string.format('%.0f', provider == '' and MAX - id or id)
end
local keys, sealed = redis.call('HMGET', KEYS[1], unpack(ids)), redis.call('HMGET', KEYS[2], unpack(ids))
local listed, n = {}, 0
for i, id in ipairs(ids) do
  listed[n + 1], listed[n + 2], listed[n + 3], n = id, keys[i] or '', sealed[i] or '', n + 3
end
return listed
