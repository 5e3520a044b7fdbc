-- Fails unless the user of Redis may run these commands. A right may be taken away while the service runs, and
-- Redis does not roll back: what needs more than one command to be whole asks before its first write.
local function require_rights(key, commands)
  for _, command in ipairs(commands) do
    -- A command that takes two keys is looked at with both.
    if not redis.acl_check_cmd(command, key, key) then
      error({err = 'NOPERM the user of Redis may not run ' .. command})
    end
  end
end
