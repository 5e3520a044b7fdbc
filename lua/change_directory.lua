#!lua
--[[
  change_directory: change one entry of what the service knows of workspaces or keys, unless it
  changed since it was read, and tell all processes, and the workspace's snapshot, that something
  changed. A new time zone stands in the rules, too: a batch that was cut by the old one is refused.

  KEYS     hash of entries, version, changes of the workspace (or none: it has no snapshot any more),
           sorted set of the entries of one workspace (or none); with a time zone instead: rules, subjects,
           accounts
  ARGV     field, entry that was read ('' for none), new entry ('' to delete), score in the set, time zone
           if that is another one
  Returns  1, or 0 when another entry stands there by now, 2 when something was counted, or somebody
           has an account, in the old zone
  Time     O(log n)
]]
--@include require_rights

if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
local zone, list = ARGV[5], KEYS[4]
require_rights(KEYS[2], {'HSET', 'HDEL', 'HINCRBY', 'INCR', 'ZADD', 'ZREM'})
redis.call('STRLEN', KEYS[2])
if KEYS[3] then redis.call('HLEN', KEYS[3]) end
if zone then
  if redis.call('EXISTS', KEYS[5], KEYS[6]) > 0 then return 2 end
  redis.call('HSET', KEYS[4], 'zone', zone)
  redis.call('HINCRBY', KEYS[4], 'version', 1)
  list = nil
end
if list then redis.call('ZCARD', list) end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  if list then redis.call('ZREM', list, ARGV[1]) end
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  if list then redis.call('ZADD', list, ARGV[4], ARGV[1]) end
end
redis.call('INCR', KEYS[2])
if KEYS[3] then redis.call('HINCRBY', KEYS[3], 'state', 1) end
return 1
