#!lua
--[[
  close_days: move what some subjects counted on a day that has ended to that day, so that the
  closed boards hold all but the current day. Works on one slice of the subjects; may be repeated.

  KEYS     subjects, closed boards (one per ranked meter), then `use` of each day in ARGV[1]
  ARGV[1]  {cursor, today, ranked meters, days, count}
  Returns  {next cursor, days that are missing from KEYS (packed), subjects moved}
  Time     O(count), and O(log subjects) for each subject that is moved
]]
--@constants constants
--@include new_batch
--@include rank
--@include leave_day
--@include write_days

local ask = cmsgpack.unpack(ARGV[1])
local today, ranked, days = ask[2], ask[3], ask[4]
local keys = {use = {}, days = {}}
for i, day in ipairs(days) do
  keys.use[day] = KEYS[1 + #ranked + i]
  redis.call('HLEN', keys.use[day])
end
for i = 1, #ranked do redis.call('ZCARD', KEYS[1 + i]) end
local batch = new_batch({0, 0, today, {}, ranked, {}}, keys)

local slice = redis.call('HSCAN', KEYS[1], ask[1], 'COUNT', ask[5])
local cursor, fields, writes = slice[1], slice[2], {}
for i = 1, #fields, 2 do
  local subject, record = fields[i], cmsgpack.unpack(fields[i + 1])
  if record[DAY] < today then
    local had = record[DAY_EVENTS]
    leave_day(batch, subject, record, today)
    if had > 0 then
      for q = METERS, #record, 3 do
        local place = rank_of(batch, record[q])
        if place then rank(batch, KEYS[1 + place], record[q + 1], subject) end
      end
    end
    writes[#writes + 1] = subject
    writes[#writes + 1] = cmsgpack.pack(record)
  end
end
-- A day that was not expected: nothing is written, the slice is asked for again with it.
if next(batch.missing) then return {ask[1], cmsgpack.pack(list_of(batch.missing)), 0} end
write_days(batch)
if #writes > 0 then redis.call('HSET', KEYS[1], unpack(writes)) end
return {cursor, cmsgpack.pack({}), #writes / 2}
