#!lua
--[[
  close_days: move what some subjects counted on a day that has ended to that day, so that no record
  is on a day that may leave Redis. Works on one slice of the subjects; may be repeated.

  KEYS     subjects, then `use` of each day in ARGV[1]
  ARGV[1]  {cursor, today, days, count}
  Returns  {next cursor, days that are missing from KEYS (packed), subjects moved}
  Time     O(count)
]]
--@constants constants
--@include new_batch
--@include leave_day
--@include write_days
--@include require_rights

local ask = cmsgpack.unpack(ARGV[1])
local today, days = ask[2], ask[3]
local keys = {use = {}, days = {}}
for i, day in ipairs(days) do
  keys.use[day] = KEYS[1 + i]
  redis.call('HLEN', keys.use[day])
end
local batch = new_batch({0, 0, today, {}, {}, {}}, keys)

local slice = redis.call('HSCAN', KEYS[1], ask[1], 'COUNT', ask[4])
local cursor, fields, writes = slice[1], slice[2], {}
for i = 1, #fields, 2 do
  local subject, record = fields[i], cmsgpack.unpack(fields[i + 1])
  if record[DAY] < today then
    leave_day(batch, subject, record, today)
    writes[#writes + 1] = subject
    writes[#writes + 1] = cmsgpack.pack(record)
  end
end
-- A day that was not expected: nothing is written, the slice is asked for again with it.
if next(batch.missing) then return {ask[1], cmsgpack.pack(list_of(batch.missing)), 0} end
require_rights(KEYS[1], {'HDEL', 'HSET', 'ZADD', 'ZREMRANGEBYSCORE'})
write_days(batch)
if #writes > 0 then redis.call('HSET', KEYS[1], unpack(writes)) end
return {cursor, cmsgpack.pack({}), #writes / 2}
