#!lua
--[[
  unlink_doomed: remove keys, and API keys, of a workspace that is deleted. Its mark, or the note that it was
  removed before, has to be there: what is merely not found may have been lost, or be on its way back. In its rules
  stays that it was deleted (delete_workspace).

  KEYS     hash of workspaces, hash of those that were removed, hash of API keys, hash of their last use, rules,
           keys to remove
  ARGV     the workspace, its birth, the mark of its deletion, its field among those that were removed, ids of
           API keys
  Returns  1, or 0 when it is there, or nothing is known of its deletion
  Time     O(number of keys); memory is given back in the background
]]
--@include require_rights

local call, entry = redis.call, redis.call('HGET', KEYS[1], ARGV[1])
-- Settings are an object; the mark of a deletion is not.
if entry and entry:sub(1, 1) == '{' then
  local is_read, settings = pcall(cjson.decode, entry)
  -- Whose it is that cannot be read is not known.
  if not is_read or (settings.birth or '') == ARGV[2] then return 0 end
end
if entry ~= ARGV[3] and call('HEXISTS', KEYS[2], ARGV[4]) == 0 then return 0 end
call('HLEN', KEYS[3])
call('HLEN', KEYS[4])
require_rights(KEYS[1], {'HDEL', 'HSET', 'UNLINK'})
call('UNLINK', unpack(KEYS, 5))
call('HSET', KEYS[5], 'version', 'deleted')
if #ARGV > 4 then
  call('HDEL', KEYS[3], unpack(ARGV, 5))
  call('HDEL', KEYS[4], unpack(ARGV, 5))
end
return 1
