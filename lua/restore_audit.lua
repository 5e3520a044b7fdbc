#!lua
--[[
  restore_audit: write some administrative acts, in their order, while this restore goes on.

  KEYS     meta, audit, its outcomes
  ARGV     token of the restore, {id, {name, value, ...}, outcome ('' for none), ...} (packed)
  Returns  1, or 0 when another restore has begun since
  Time     O(acts)
]]
--@include require_rights

if redis.call('HGET', KEYS[1], 'restoring') ~= ARGV[1] then return 0 end
local acts = cmsgpack.unpack(ARGV[2])
require_rights(KEYS[1], {'HSET', 'XADD'})
for i = 1, #acts, 3 do
  redis.call('XADD', KEYS[2], acts[i], unpack(acts[i + 1]))
  if acts[i + 2] ~= '' then redis.call('HSET', KEYS[3], acts[i], acts[i + 2]) end
end
return 1
