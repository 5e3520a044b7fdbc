#!lua
--[[
  unlink_doomed: remove some keys of a workspace that was deleted, as long as its id is not free. Another
  process may have freed it since they were found: they could be those of the next workspace of this id.

  KEYS     hash of workspaces, keys to remove
  ARGV     the workspace, the entry that stands in its place
  Returns  1, or 0 when another entry, or none, stands there by now
  Time     O(number of keys); memory is given back in the background
]]
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if #KEYS > 1 then redis.call('UNLINK', unpack(KEYS, 2)) end
return 1
