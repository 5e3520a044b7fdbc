#!lua
--[[
  lease_flush: take, keep or give back the right to write snapshots. Each holder gets a number that
  is higher than those before it; a folder that has seen a higher one takes nothing from a lower.

  KEYS     lease, meta
  ARGV     token of who asks; for how long in ms, 0 to give it back; name of these data, if they
           have none yet
  Returns  {number, name of these data}, or {} when another one has the lease
  Time     O(1)
]]
local held, number = redis.call('GET', KEYS[1]), nil
if held then
  local token, its = cmsgpack.unpack(held)
  if token ~= ARGV[1] then return {} end
  number = its
end
redis.call('HSETNX', KEYS[2], 'dataset', ARGV[3])
if ARGV[2] == '0' then
  if held then redis.call('DEL', KEYS[1]) end
  return {}
end
number = number or redis.call('HINCRBY', KEYS[2], 'flush_fence', 1)
redis.call('SET', KEYS[1], cmsgpack.pack(ARGV[1], number), 'PX', ARGV[2])
return {number, redis.call('HGET', KEYS[2], 'dataset')}
