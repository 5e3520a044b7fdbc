#!lua
--[[
  unlink_doomed: remove some keys of a workspace that was deleted, unless there is a workspace of its id and
  birth again: a restore may have brought it back since they were found.

  KEYS     hash of workspaces, keys to remove
  ARGV     the workspace, its birth
  Returns  1, or 0 when it is there again
  Time     O(number of keys); memory is given back in the background
]]
local entry = redis.call('HGET', KEYS[1], ARGV[1])
-- Settings are an object; the mark of a deletion is not.
if entry and entry:sub(1, 1) == '{' and (cjson.decode(entry).birth or '') == ARGV[2] then return 0 end
if #KEYS > 1 then redis.call('UNLINK', unpack(KEYS, 2)) end
return 1
