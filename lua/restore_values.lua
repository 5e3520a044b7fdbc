#!lua
--[[
  restore_values: write some fields of a hash, or members of a sorted set or a set, while this restore goes on.

  KEYS     meta, hash, sorted set or set
  ARGV     token of the restore, kind of the values, when the key expires in s (0: never),
           {field, value, ...} or {member, score, ...} (packed)
           kind  'packed': values are packed once more, as scripts keep them; 'missing': so too, for
                 fields that are not there; 'plain': they are written as they are; 'scores';
                 'members': what stands beside them is not looked at
  Returns  1, or 0 when another restore has begun since
  Time     O(values), for 'scores' O(values * log members)
]]
--@include require_rights

if redis.call('HGET', KEYS[1], 'restoring') ~= ARGV[1] then return 0 end
local kind, values, writes = ARGV[2], cmsgpack.unpack(ARGV[4]), {}
require_rights(KEYS[1], {'EXPIRE', 'HSET', 'HSETNX', 'SADD', 'ZADD'})
for i = 1, #values, 2 do
  if kind == 'missing' then
    redis.call('HSETNX', KEYS[2], values[i], cmsgpack.pack(values[i + 1]))
  elseif kind == 'members' then
    writes[#writes + 1] = values[i]
  elseif kind == 'scores' then
    writes[i], writes[i + 1] = string.format('%.0f', values[i + 1]), values[i]
  else
    writes[i], writes[i + 1] = values[i], kind == 'packed' and cmsgpack.pack(values[i + 1]) or values[i + 1]
  end
end
local command = kind == 'scores' and 'ZADD' or kind == 'members' and 'SADD' or 'HSET'
if #writes > 0 then redis.call(command, KEYS[2], unpack(writes)) end
if ARGV[3] ~= '0' then redis.call('EXPIRE', KEYS[2], ARGV[3]) end
return 1
