#!lua flags=no-writes
--[[
  check_rights: tells which commands the user that Redis knows the caller as may not run.

  KEYS     a key of a workspace
  ARGV     commands whose first argument is a key, or that take none
  Returns  those of them that Redis would refuse
  Time     O(commands)
]]
local refused = {}
for _, command in ipairs(ARGV) do
  -- A command that takes two keys is looked at with both.
  if not redis.acl_check_cmd(command, KEYS[1], KEYS[1]) then refused[#refused + 1] = command end
end
return refused
