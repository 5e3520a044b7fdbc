#!lua flags=no-writes
--[[
  scan_records: what some of the subjects have used in all, added up, and how many had an event of late.

  KEYS     subjects
  ARGV     cursor, count, since when an event is of late (ms), code of the meter to be added up
  Returns  {next cursor, subjects with an event since then, events, sum of the meter}; a sum that is not
           exact is above 2^53 - 1
  Time     O(count * meters of a subject)
]]
--@constants constants

local slice = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local since, meter = tonumber(ARGV[3]), tonumber(ARGV[4])
local active, events, sum = 0, 0, 0
for q = 2, #slice[2], 2 do
  local record = cmsgpack.unpack(slice[2][q])
  if record[LAST] >= since then active = active + 1 end
  events = events + record[EVENTS]
  for m = METERS, #record, 3 do
    if record[m] == meter then sum = sum + record[m + 1] end
  end
end
return {slice[1], active, events, sum}
