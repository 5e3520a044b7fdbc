#!lua
--[[
  change_key: change a key of the pool. A report of its use is a change that has a time: the first one in
  the key's life counts for its holder.

  KEYS     see include/pool
  ARGV     provider, id, who must hold it ('': anybody or nobody), when it was used (ms; 0: it was not),
           {field, value, ...} (packed)
  Returns  {DONE, 1 at the first use or 0, key, sealed secret}; {MISSING} when there is no such key, or it is
           held by another; {TOO_LARGE} when the balances of its holder's keys would have no exact sum
  Time     O(log keys)
]]
--@constants constants
--@constants pool_fields
--@include pool_members
--@include pool

local provider, id, caller, used, changes = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), cmsgpack.unpack(ARGV[5])
local value = redis.call('HGET', pool.keys, id)
local sealed = redis.call('HGET', pool.sealed, id)
local key = value and cmsgpack.unpack(value)
if not key or key[PROVIDER] ~= provider or caller ~= '' and key[HOLDER] ~= caller then return {MISSING} end
place(false, tonumber(id), key)
local is_first = used > 0 and key[USED_AT] == 0
if is_first and key[HOLDER] ~= '' then
  local holder = holder_of(key[HOLDER])
  holder[FIRST_USES] = holder[FIRST_USES] + 1
end
-- Clocks of several processes may differ a little.
key[USED_AT] = math.max(key[USED_AT], used)
for i = 1, #changes, 2 do key[changes[i]] = changes[i + 1] end
place(true, tonumber(id), key)
if not fits() then return {TOO_LARGE} end
value = cmsgpack.pack(key)
redis.call('HSET', pool.keys, id, value)
write_places()
note_change()
return {DONE, is_first and 1 or 0, value, sealed or ''}
