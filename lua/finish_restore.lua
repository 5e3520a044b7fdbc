#!lua
--[[
  finish_restore: what was restored is whole from now on, in all workspaces at once: one that breaks off before has left
  the mark in each, and can be repeated.

  KEYS     meta of each workspace
  ARGV     token of the restore, then fields of meta and their values
  Returns  1, or 0 when another restore has begun since in one of them
  Time     O(workspaces)
]]
--@include require_rights

for _, meta in ipairs(KEYS) do
  if redis.call('HGET', meta, 'restoring') ~= ARGV[1] then return 0 end
end
require_rights(KEYS[1], {'HDEL', 'HSET'})
for _, meta in ipairs(KEYS) do
  redis.call('HSET', meta, unpack(ARGV, 2))
  redis.call('HDEL', meta, 'restoring')
end
return 1
