#!lua
--[[
  restore_seen: note that some subjects were seen on a day, and in its month, while this restore goes on.

  KEYS     meta, then sets of subjects as follow_usage writes them
  ARGV     token of the restore; {when the key expires in s (0: never), ...}, {subject, ...} (packed,
           one behind the other)
  Returns  1, or 0 when another restore has begun since
  Time     O(subjects)
]]
--@constants constants
--@include see

if redis.call('HGET', KEYS[1], 'restoring') ~= ARGV[1] then return 0 end
local lifetimes, subjects = cmsgpack.unpack(ARGV[2])
local kinds = kinds_of(2, #KEYS)
for i = 2, #KEYS do see(KEYS[i], kinds[i - 1], subjects, lifetimes[i - 1]) end
return 1
