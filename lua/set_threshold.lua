#!lua
--[[
  set_threshold: what the balance of a provider's keys has to be above.

  KEYS     changes, providers
  ARGV     provider, threshold
  Returns  {DONE}, or {TOO_MANY} for one provider more than there may be
  Time     O(1)
]]
--@constants pool_fields
--@include require_rights
redis.call('HLEN', KEYS[1])
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 and redis.call('HLEN', KEYS[2]) >= PROVIDERS_MAX then
  return {TOO_MANY}
end
require_rights(KEYS[1], {'HINCRBY', 'HSET'})
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1], 'state', 1)
return {DONE}
