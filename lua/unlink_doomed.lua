#!lua
--[[
  unlink_doomed: remove some keys of a workspace that is gone, unless there is one of its id and birth: a
  restore may have brought it back since they were found, or be about to.

  KEYS     hash of workspaces, meta of the workspace, keys to remove
  ARGV     the workspace, its birth, the mark that stands in its place while it is removed
  Returns  1, or 0 when it is there again
  Time     O(number of keys); memory is given back in the background
]]
local entry = redis.call('HGET', KEYS[1], ARGV[1])
-- Settings are an object; the mark of a deletion is not.
if entry and entry:sub(1, 1) == '{' and (cjson.decode(entry).birth or '') == ARGV[2] then return 0 end
if entry ~= ARGV[3] and redis.call('HEXISTS', KEYS[2], 'restoring') == 1 then return 0 end
if #KEYS > 2 then redis.call('UNLINK', unpack(KEYS, 3)) end
return 1
