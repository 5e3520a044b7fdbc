#!lua
--[[
  claim_notices: take some notices that are due, to deliver them. Nobody else gets them until the claim is
  over: if whoever has them dies, they are due again then. What an alert has no room for stays, and keeps
  nobody else's from being taken; for receivers that are slow it is put off.

  KEYS     notices, due
  ARGV     now_ms, when the claim is over (ms), count (1 to 100); {alert, place, ...} and {room, end, ...} of
           the places (packed): how many more may go there, -1 where what is due is put off; when the claim is
           over (ms). An alert without a place has room; see include/alert_fields.
           Of those that are due, how many to pass over: for what stayed there is no room
  Returns  {0: no more is due, 1: for more there was no room, 2: more may be behind those that were looked
           at; how many stayed; id, notice, ...}, each with this attempt counted
  Time     O(count + notices passed over + log notices)
]]
--@constants alert_fields
--@include require_rights
local SCANNED, PUT_OFF_MS = 200, 5000
local now, over, left = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local ids = redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', ARGV[6], SCANNED)
if #ids == 0 then return {0, 0} end
local flat, places, rooms = cmsgpack.unpack(ARGV[4]), {}, cmsgpack.unpack(ARGV[5])
for q = 1, #flat, 2 do places[flat[q]] = flat[q + 1] end
local values, found, fields, scores, gone = redis.call('HMGET', KEYS[1], unpack(ids)), {}, {}, {}, {}
local function due(id, at) scores[#scores + 1], scores[#scores + 2] = at, id end
for i, id in ipairs(ids) do
  -- What is no notice keeps no other from being delivered.
  local is_read, notice = pcall(cmsgpack.unpack, values[i] or '')
  if not values[i] then
    gone[#gone + 1] = id
  elseif not (is_read and type(notice) == 'table' and type(notice[NOTICE_ATTEMPTS]) == 'number') then
    due(id, over)
  else
    local place = places[notice[NOTICE_ALERT]]
    local room = place and rooms[2 * place - 1] or left
    if room < 0 then
      due(id, now + PUT_OFF_MS)
    elseif room > 0 and left > 0 then
      left = left - 1
      if place then rooms[2 * place - 1] = room - 1 end
      notice[NOTICE_ATTEMPTS] = notice[NOTICE_ATTEMPTS] + 1
      local packed, n = cmsgpack.pack(notice), #fields
      fields[n + 1], fields[n + 2], found[n + 3], found[n + 4] = id, packed, id, packed
      due(id, place and rooms[2 * place] or over)
    end
  end
end
local stayed = #ids - #gone - #scores / 2
found[1], found[2] = #ids == SCANNED and left > 0 and 2 or stayed > 0 and 1 or 0, stayed
if stayed == #ids then return found end
require_rights(KEYS[1], {'HSET', 'ZADD', 'ZREM'})
if #scores > 0 then redis.call('ZADD', KEYS[2], unpack(scores)) end
if #gone > 0 then redis.call('ZREM', KEYS[2], unpack(gone)) end
if #fields > 0 then redis.call('HSET', KEYS[1], unpack(fields)) end
return found
