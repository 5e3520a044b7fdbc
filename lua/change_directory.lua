#!lua
--[[
  change_directory: change one entry of what the service knows of workspaces or keys, unless it
  changed since it was read, and tell all processes, and the workspace's snapshot, that something
  changed.

  KEYS     hash of entries, version, changes of the workspace (or none: it has no snapshot any more),
           sorted set of the entries of one workspace (or none)
  ARGV     field, entry that was read ('' for none), new entry ('' to delete), score in the set
  Returns  1, or 0 when another entry stands there by now
  Time     O(log n)
]]
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('STRLEN', KEYS[2])
if KEYS[3] then redis.call('HLEN', KEYS[3]) end
if KEYS[4] then redis.call('ZCARD', KEYS[4]) end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  if KEYS[4] then redis.call('ZREM', KEYS[4], ARGV[1]) end
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  if KEYS[4] then redis.call('ZADD', KEYS[4], ARGV[4], ARGV[1]) end
end
redis.call('INCR', KEYS[2])
if KEYS[3] then redis.call('HINCRBY', KEYS[3], 'state', 1) end
return 1
