#!lua
--[[
  lease_flush: take, keep or give back the right to write snapshots. Each holder gets a number that
  is higher than those before it; a folder that has seen a higher one takes nothing from a lower.
  Of a workspace that is gone nobody gets it: its folder may be the next one's by now.

  KEYS     lease, meta, hash of workspaces
  ARGV     token of who asks; for how long in ms, 0 to give it back; name of these data, if they
           have none yet; the workspace, its birth ('' if it has none)
  Returns  {number, name of these data}, or {} when another one has the lease
  Time     O(1)
]]
--@include require_rights

if ARGV[5] ~= '' then
  local entry = redis.call('HGET', KEYS[3], ARGV[4])
  -- Settings are an object; the mark of a deletion is not.
  if not entry or entry:sub(1, 1) ~= '{' or cjson.decode(entry).birth ~= ARGV[5] then return {} end
end
local held, number = redis.call('GET', KEYS[1]), nil
if held then
  local token, its = cmsgpack.unpack(held)
  if token ~= ARGV[1] then return {} end
  number = its
end
require_rights(KEYS[1], {'DEL', 'HINCRBY', 'HSETNX', 'SET'})
redis.call('HSETNX', KEYS[2], 'dataset', ARGV[3])
if ARGV[2] == '0' then
  if held then redis.call('DEL', KEYS[1]) end
  return {}
end
number = number or redis.call('HINCRBY', KEYS[2], 'flush_fence', 1)
redis.call('SET', KEYS[1], cmsgpack.pack(ARGV[1], number), 'PX', ARGV[2])
return {number, redis.call('HGET', KEYS[2], 'dataset')}
