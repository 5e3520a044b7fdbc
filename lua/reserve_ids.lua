#!lua
--[[
  reserve_ids: take ids of a key pool that nobody else gets. Files have the last one, so that it counts as a change.

  KEYS     facts of the pool, changes
  ARGV     how many
  Returns  the last of them
  Time     O(1)
]]
redis.call('HLEN', KEYS[2])
local last = redis.call('HINCRBY', KEYS[1], 'last_id', ARGV[1])
redis.call('HINCRBY', KEYS[2], 'state', 1)
return last
