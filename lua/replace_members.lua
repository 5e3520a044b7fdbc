#!lua
--[[
  replace_members: put an anonymous subject in the place of others in sets. Estimates have no members.

  KEYS     sets, or HyperLogLogs
  ARGV[1]  the anonymous subject
  ARGV[2]  {subject, ...} (packed)
  Returns  how many sets had one of them
  Time     O(number of keys * subjects)
]]
--@include in_parts
--@include require_rights

require_rights(KEYS[1], {'SADD', 'SREM'})
local names, count = cmsgpack.unpack(ARGV[2]), 0
for _, key in ipairs(KEYS) do
  if redis.call('TYPE', key).ok == 'set' then
    local found = false
    in_parts(names, function(...)
      for _, is_member in ipairs(redis.call('SMISMEMBER', key, ...)) do found = found or is_member == 1 end
    end)
    if found then
      -- First, so that the set does not vanish with its expiry.
      redis.call('SADD', key, ARGV[1])
      in_parts(names, function(...) redis.call('SREM', key, ...) end)
      count = count + 1
    end
  end
end
return count
