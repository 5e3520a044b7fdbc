#!lua
--[[
  restore_seen: note that some subjects were seen on a day, and in its month, while this restore goes on;
  not guests who were merged: their users were.

  KEYS     meta, merged, then sets of subjects as follow_usage writes them
  ARGV     token of the restore; {when the key expires in s (0: never), ...}, {subject, ...} (packed,
           one behind the other)
  Returns  1, or 0 when another restore has begun since
  Time     O(subjects)
]]
--@constants constants
--@include require_rights
--@include see

if redis.call('HGET', KEYS[1], 'restoring') ~= ARGV[1] then return 0 end
local lifetimes, subjects = cmsgpack.unpack(ARGV[2])
local seen = {}
for i, user in ipairs(redis.call('HMGET', KEYS[2], unpack(subjects))) do
  if not user then seen[#seen + 1] = subjects[i] end
end
if #seen == 0 then return 1 end
local kinds = kinds_of(3, #KEYS)
require_rights(KEYS[1], {'DEL', 'EXPIRE', 'PFADD', 'SADD'})
for i = 3, #KEYS do see(KEYS[i], kinds[i - 2], seen, lifetimes[i - 2]) end
return 1
