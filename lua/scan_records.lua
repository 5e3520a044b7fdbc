#!lua flags=no-writes
--[[
  scan_records: what some of the subjects have used in all, added up, and how many had an event of late:
  guests whose events are a user's by now had none.

  KEYS     subjects, merged
  ARGV     cursor, count, since when an event is of late (ms), code of the meter to be added up
  Returns  {next cursor, subjects with an event since then, events, sum of the meter}; a sum that is not
           exact is above 2^53 - 1
  Time     O(count * meters of a subject)
]]
--@constants constants

local slice = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local since, meter = tonumber(ARGV[3]), tonumber(ARGV[4])
local active, events, sum, empty = 0, 0, 0, {}
for q = 2, #slice[2], 2 do
  local record = cmsgpack.unpack(slice[2][q])
  if record[LAST] >= since then
    active = active + 1
    -- Who was merged has nothing left, and so has whose events were all reversed.
    if record[EVENTS] == 0 then empty[#empty + 1] = slice[2][q - 1] end
  end
  events = events + record[EVENTS]
  for m = METERS, #record, 3 do
    if record[m] == meter then sum = sum + record[m + 1] end
  end
end
if #empty > 0 then
  for _, user in ipairs(redis.call('HMGET', KEYS[2], unpack(empty))) do
    if user then active = active - 1 end
  end
end
return {slice[1], active, events, sum}
