#!lua
--[[
  restore_subjects: add what some subjects used on a day to their records. Days come the last first:
  the first one that a subject is met on is its latest.

  KEYS     meta, subjects, `use` of the day, guests
  ARGV     token of the restore
           {day, 1 if its detail is in Redis, day that records are on at least,
           {subject, events, first_ms, last_ms, {meter, amount, ...}, ...}} (packed)
  Returns  1; 0 when another restore has begun since; {subject}: its total passes what is counted
  Time     O(subjects)
]]
--@constants constants
--@include require_rights

if redis.call('HGET', KEYS[1], 'restoring') ~= ARGV[1] then return 0 end
local ask = cmsgpack.unpack(ARGV[2])
local day, is_hot, floor, rows = ask[1], ask[2] == 1, ask[3], ask[4]
local subjects = {}
for p = 1, #rows, 5 do subjects[#subjects + 1] = rows[p] end
local old, records, uses, guests = redis.call('HMGET', KEYS[2], unpack(subjects)), {}, {}, {}
for i = 1, #subjects do
  -- Those who were erased, too.
  if string.find(subjects[i], '^guest:') or string.find(subjects[i], '^erased:guest:') then
    guests[#guests + 1] = subjects[i]
  end
  local p, packed, record = 5 * i - 4, old[i], nil
  local events, first, last, amounts = rows[p + 1], rows[p + 2], rows[p + 3], rows[p + 4]
  -- Of a day before those all are in `use`, as of any that was closed.
  local stands = not packed and is_hot and day >= floor
  if packed then
    record = cmsgpack.unpack(packed)
  else
    record = {first, last, 0, 0, stands and day or floor, 0, NO_FIRST, NO_LAST}
  end
  record[FIRST], record[LAST] = math.min(record[FIRST], first), math.max(record[LAST], last)
  record[EVENTS] = record[EVENTS] + events
  local entry = {events, first - day * DAY_MS, last - day * DAY_MS}
  if stands then
    record[DAY_EVENTS], record[DAY_FIRST], record[DAY_LAST] = entry[USE_EVENTS], entry[USE_FIRST], entry[USE_LAST]
  end
  for j = 1, #amounts, 2 do
    local q = METERS
    while record[q] and record[q] ~= amounts[j] do q = q + 3 end
    record[q], record[q + 1], record[q + 2] = amounts[j], (record[q + 1] or 0) + amounts[j + 1], record[q + 2] or 0
    if not (record[q + 1] <= MAX) then return {subjects[i]} end
    if stands then record[q + 2] = amounts[j + 1] end
    entry[USE_METERS + j - 1], entry[USE_METERS + j] = amounts[j], amounts[j + 1]
  end
  records[2 * i - 1], records[2 * i] = subjects[i], cmsgpack.pack(record)
  if is_hot and not stands then
    uses[#uses + 1] = subjects[i]
    uses[#uses + 1] = cmsgpack.pack(entry)
  end
end
require_rights(KEYS[1], {'HSET', 'SADD'})
redis.call('HSET', KEYS[2], unpack(records))
if #uses > 0 then redis.call('HSET', KEYS[3], unpack(uses)) end
if #guests > 0 then redis.call('SADD', KEYS[4], unpack(guests)) end
return 1
