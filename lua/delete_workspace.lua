#!lua
--[[
  delete_workspace: put the mark of a deletion in a workspace's place, unless its settings changed since they were
  read, and tell all processes. Its rules get a version that no batch names, and keep that for ever (unlink_doomed):
  who has not heard of the deletion counts nothing in it, however late it comes.

  KEYS     hash of workspaces, version of it, rules
  ARGV     the workspace, its settings as they were read, the mark
  Returns  1, or 0 when another entry stands there by now
  Time     O(1)
]]
--@include require_rights

local call = redis.call
if (call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
require_rights(KEYS[2], {'HSET', 'INCR', 'UNLINK'})
call('STRLEN', KEYS[2])
call('HSET', KEYS[1], ARGV[1], ARGV[3])
call('INCR', KEYS[2])
call('UNLINK', KEYS[3])
call('HSET', KEYS[3], 'version', 'deleted')
return 1
