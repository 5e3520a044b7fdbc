#!lua
--[[
  cool_day: let a day leave Redis, for its file has all of it: unless it was changed since, subjects
  may still be on it, or these are other data. Nothing is left of it but its mark.

  KEYS     changes, cold, meta, then all keys of the day
  ARGV[1]  {day, revision of the file, name of the data}
  Returns  1, or 0 when it has to stay
  Time     O(number of keys): they are freed by a thread of Redis
]]
--@include require_rights

local ask = cmsgpack.unpack(ARGV[1])
local day, revision = ask[1], ask[2]
local facts = redis.call('HMGET', KEYS[3], 'closed_before', 'dataset')
if tonumber(redis.call('HGET', KEYS[1], day) or 0) ~= revision then return 0 end
if tonumber(facts[1] or 0) <= day or facts[2] ~= ask[3] then return 0 end
require_rights(KEYS[1], {'HSETNX', 'UNLINK'})
if redis.call('HSETNX', KEYS[2], day, revision) == 0 then return 0 end
redis.call('UNLINK', unpack(KEYS, 4))
return 1
