#!lua
--[[
  tell_budgets: add notices for budgets whose percents are reached and were not told, once whoever asks
  and however often. A month that is over is forgotten when a later one comes. What was told is of the
  state: the next snapshot has it.

  KEYS     rules, told, last notice, notices, due, changes
  ARGV     version of the rules; now_ms; {alert, used, most, end of the month (ms), 1 if that is over, ...}
           (packed); see include/alert_fields. Of a month that is over only alerts tell that were
           looked at in it: hence a percent of 0 is kept for those that told nothing; when it was begun to
           read what was used (µs, of this Redis)
  Returns  number of new notices; -1 when other rules are in force, or more was told since it was read: what
           was used then may be less, and would let the same be told again
  Time     O(alerts)
]]
--@constants alert_fields
--@include require_rights
--@include tell

local keys = {told = KEYS[2], last_notice = KEYS[3], notices = KEYS[4], due = KEYS[5]}
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return -1 end
local now, items, notices, flat = tonumber(ARGV[2]), cmsgpack.unpack(ARGV[3]), {}, {0, 0, 0}
local packed = redis.call('HGET', keys.told, '')
local old = packed and cmsgpack.unpack(packed) or {}
local time = redis.call('TIME')
local now_us, told_us = time[1] * 1000000 + time[2], 0
-- The first one is no alert: when the others were written.
if old[1] == 0 then told_us = old[1 + TOLD_PERIOD] end
-- One in the future is of another clock.
if tonumber(ARGV[4]) <= told_us and told_us <= now_us then return -1 end
for q = 1, #items, 5 do
  local alert, used, most, period, told = items[q], items[q + 1], items[q + 2], items[q + 3], nil
  for p = 1, #old, TOLD_WIDTH do
    if old[p] == alert[ALERT_ID] and old[p + TOLD_PERIOD] == period then
      told = still_told(alert, old[p + TOLD_PERCENT], used, most)
    end
  end
  if told or items[q + 4] == 0 then
    local n = #flat
    flat[n + 1], flat[n + 2] = alert[ALERT_ID], period
    flat[n + 3] = tell(notices, alert, told or 0, '', used, most, now, period)
  end
end
check_notices(keys)
redis.call('HLEN', KEYS[6])
require_rights(KEYS[6], {'HSET', 'HINCRBY', 'INCRBY', 'ZADD'})

flat[2] = told_us
if cmsgpack.pack(flat) ~= packed then
  flat[2] = now_us
  redis.call('HSET', keys.told, '', cmsgpack.pack(flat))
  redis.call('HINCRBY', KEYS[6], 'state', 1)
end
write_notices(keys, now, notices)
return #notices
