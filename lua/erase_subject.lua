#!lua
--[[
  erase_subject: take a subject, of whom nothing is counted any more, and the guests that were merged into
  it, out of all that Redis keeps by subject, in one step; unless something has changed since it was looked
  at. From then on its id is like one that was never used.

  KEYS     erasures, subjects, accounts, grants, told, activity, guests, merged, merges, holders, changes,
           cold, boards, builds, people, demo; logs of the days of arrival from yesterday on; `use` of days
  ARGV[1]  {id of the erasure, {subject, guest, ...}, positions of their last entries, and of their
           accounts' (-1: there is none), number of merged guests, {grant, ...} (fields of the hash), {day,
           ...} of `use`, day of the first log, step that the erasure is in afterwards, now_ms}
  Returns  1, or 0 when something is not as it was looked at: nothing is written
  Time     O(subjects * days + grants)
]]
--@constants constants
--@constants account_fields
--@constants pool_fields
--@constants erasure_fields
--@include ends_of
--@include in_parts
--@include still_counts
--@include require_rights

local call, pack, unpacked = redis.call, cmsgpack.pack, cmsgpack.unpack
local ask = unpacked(ARGV[1])
local id, names, last, positions, merged, grants, days = unpack(ask, 1, 7)
local erasure = call('HGET', KEYS[1], id)
if not erasure then return 0 end
erasure = unpacked(erasure)
local anonymous, removed, last_log = erasure[ERASURE_ANONYMOUS], erasure[ERASURE_REMOVED], #KEYS - #days

local records, accounts, holders = unpacked_of(KEYS[2], names), unpacked_of(KEYS[3], names), unpacked_of(KEYS[10], names)
for i = 1, #names do
  local record, account, holder = records[i], accounts[i], holders[i]
  if (record and record[AT] or -1) ~= last[i] then return 0 end
  if still_counts(record, EVENTS, METERS + 1, 3) or still_counts(record, DAY_EVENTS, METERS + 2, 3) then return 0 end
  if (account and account[POSITION] or -1) ~= positions[i] then return 0 end
  if holder and holder[HELD] > 0 then return 0 end
end
-- A guest who has become a user has nothing of its own; a profile that came meanwhile is removed first.
if call('HLEN', KEYS[8]) ~= merged or call('HEXISTS', KEYS[8], names[1]) == 1 then return 0 end
for _, profile in ipairs(unpacked_of(KEYS[15], names)) do if profile then return 0 end end
local marks = #days > 0 and call('HMGET', KEYS[12], unpack(days)) or {}
for i = 1, #days do
  if marks[i] then return 0 end
  for _, entry in pairs(unpacked_of(KEYS[last_log + i], names)) do
    if still_counts(entry, USE_EVENTS, USE_METERS + 1, 2) then return 0 end
  end
end
-- All that is written has the right type, or it fails here.
for _, place in ipairs({4, 5, 6, 9, 11, 13, 14}) do call('HLEN', KEYS[place]) end
for _, place in ipairs({7, 16}) do call('SCARD', KEYS[place]) end
require_rights(KEYS[1], {'HSET', 'HDEL', 'HINCRBY', 'SADD', 'SREM', 'UNLINK'})
-- What it spent ever, and what it received: sums over all accounts and holders stay.
local used = accounts[1]
if used and (used[TOTAL_USED] ~= 0 or used[MONTH_USED] ~= 0) then
  local old = call('HGET', KEYS[3], anonymous)
  local kept = old and unpacked(old) or {0, used[ANCHOR], 0, 0, 0, 0, used[NEXT_RESET], 0, 0, 0, 0, used[MONTH_LENGTH]}
  kept[MONTH_USED], kept[TOTAL_USED] = kept[MONTH_USED] + used[MONTH_USED], kept[TOTAL_USED] + used[TOTAL_USED]
  call('HSET', KEYS[3], anonymous, pack(kept))
end
for i = 1, #names do
  if holders[i] then
    local old = call('HGET', KEYS[10], anonymous)
    local kept = old and unpacked(old) or {0, 0, 0, 0, 0, 0, 0, 0}
    for _, place in ipairs({RECEIVED, FIRST_USES}) do kept[place] = kept[place] + holders[i][place] end
    call('HSET', KEYS[10], anonymous, pack(kept))
  end
end
if call('SREM', KEYS[7], names[1]) == 1 then call('SADD', KEYS[7], anonymous) end
take_out('SREM', KEYS[7], names, 2)
-- A day on which it stood is to be written to its file anew.
local changed = {}
for i, day in ipairs(days) do
  if take_out('HDEL', KEYS[last_log + i], names) > 0 then changed[day] = true end
end
for i = 1, #names do
  local record = records[i]
  if record and record[DAY_FIRST] ~= NO_FIRST then changed[record[DAY]] = true end
end
for day in pairs(changed) do
  call('HINCRBY', KEYS[11], day, 1)
  removed[REMOVED_DAYS] = removed[REMOVED_DAYS] + 1
end
removed[REMOVED_GUESTS] = removed[REMOVED_GUESTS] + #names - 1
removed[REMOVED_ACCOUNTS] = removed[REMOVED_ACCOUNTS] + take_out('HDEL', KEYS[3], names)
removed[REMOVED_GRANTS] = removed[REMOVED_GRANTS] + take_out('HDEL', KEYS[4], grants)
for _, place in ipairs({2, 5, 6, 8, 9, 10}) do take_out('HDEL', KEYS[place], names) end
call('SREM', KEYS[16], names[1])
-- Boards that were read in part would lack it: all of them are made anew.
call('UNLINK', KEYS[13], KEYS[14])
call('HINCRBY', KEYS[11], 'state', 1)
erasure[ERASURE_STEP], erasure[ERASURE_ENDED] = ask[9], ask[10]
erasure[ERASURE_CUT] = {ask[8], unpack(unpacked(ends_of(17, last_log)))}
call('HSET', KEYS[1], id, pack(erasure))
return 1
