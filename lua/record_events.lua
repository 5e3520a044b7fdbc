#!lua
--[[
  record_events: decide about a batch, and count its events, all of it in one step.

  A batch holds its events' sums by subject, day and set of meters: counting is work per subject, not per event.
  Decisions (charges, checks, holds, grants, merges) are taken one by one in their order (include/decide). Events
  that do not count are taken out of the sums (include/exclude_events). All is checked, and then written.

  KEYS     subjects, marker, log, rules, demo, registered, people, merged, large, erasing, meta; per day: hours, day, boards (one per
           ranked meter); id generations (the one to write first); if there are decisions: accounts, holds, open holds,
           ended holds, grants, reversed, merges; with alerts: told, last notice, notices, due; if subjects move: `use` of
           each day and of each of `rolls`; to undo: erasures, open ones, all; last: cold, changes
  ARGV[1]  values one behind the other (`ask`):
             1..11     seq, log day, today, {ttl_s of log, ids}, ranked meters, days, rolls, number of id
                       generations, 1 if KEYS has what moving needs, now_ms, version of the rules; then:
             subjects  {id, ...}
             sets      {{meter, ...}, ...}: the meters that events have together
             rows      flat, per row: index of its subject, day and set; events, first_ms, last_ms,
                       amount per meter of the set
             fields    per day: {fields of `hours`, fields of `day`}
             cells     flat, per cell: index of its day, fields in `hours` and `day`, set; events, amounts
             ids, places  {digest, ...} of the events that clients named; {index of the event, ...} of those ids
             rules, holders: see include/context; decisions: see include/account_fields
             policy, undo, timed  1 if: only who is registered is counted; events are undone; the time is to be told
  ARGV[2]  the events themselves, for the log; unpacked only to take one out
  Returns  {"done", log position, results, excluded, answers, uncounted, us}: results, per subject the
           position of its entry before, then per row the subject's totals; excluded, per event that does not
           count its place and where it was first counted (empty: refused; a letter: its subject is not
           counted); answers, of the decisions; uncounted, {subject, why, ...}; us, how long it took.
           Or {"stale"}; {"rules"}: these are not in force any more; {"merged", flat {guest, user}}; {"erasing",
           subject}: it is taken out now; {"move", days}: send again with what moving needs, and these days; {"cold",
           days}: bring these back; {"overflow", indexes of subjects, 1 if a rollup overflows}. Only "done" has written.
  Time     O(events), and O(log subjects) per subject and ranked meter
]]
--@constants constants
--@constants account_fields
--@constants alert_fields
--@constants profile_fields
--@include clock_us
--@include name_keys
--@include find_cold
--@include find_known
--@include new_batch
--@include read_record
--@include occasional
--@include add_rows
--@include add_cells
--@include results_of
--@include size_keys
--@include write_records
--@include write_days
--@include write_ids
--@include write_batch

local call, pack = redis.call, cmsgpack.pack
local ask = {cmsgpack.unpack(ARGV[1])}
local ids, places, decisions, began = ask[17], ask[18], ask[21], ask[24] == 1 and clock_us()
local keys = name_keys(ask, #decisions > 0)

-- Sent before? Then it was done then, or its sender has given it up since.
local marker = call('GET', keys.marker)
if marker then
  local last, done = cmsgpack.unpack(marker)
  if ask[1] < last then return {'stale'} end
  if ask[1] == last then return done end
end
if (call('HGET', keys.rules, 'version') or '') ~= ask[11] then return {'rules'} end

local batch, gone, code, context = new_batch(ask, keys), {}, nil, nil
find_known(keys, ids, places, gone)
local answers, uncounted, merges = {}, {}, decisions[1] and decisions[1][KIND] == MERGE
local merged = not merges and call('EXISTS', keys.merged) == 1 and code_of_merged()(batch, ask, keys) or {}
if #merged > 0 then return {'merged', pack(merged)} end
local erasing = not merges and call('GET', keys.erasing)
if erasing and code_of_merged(true)(batch, ask, erasing) then return {'erasing', erasing} end
if not merges and (ask[22] == 1 or call('EXISTS', keys.demo) == 1) then
  uncounted = code_of_counting()(batch, ask, keys, gone)
end
if #decisions > 0 then
  code = code_of_decisions()
  context = code.new(keys, ask[10], ask[19], ask[20])
  if ask[19][8] then context.alerts = code.alerts()(context, ask[19][8]) end
  answers = code.decide(context, decisions, gone, uncounted, ids, places)
end
if next(gone) then code_of_exclusion()(batch, gone) end

if #ask[12] > 0 then batch.records = call('HMGET', keys.subjects, unpack(ask[12])) end
add_rows(batch)
add_cells(batch)
if #batch.overflow > 0 or batch.rollup_overflows then
  return {'overflow', pack(batch.overflow), batch.rollup_overflows and 1 or 0}
end
if next(batch.missing) then return {'move', pack(list_of(batch.missing))} end
local cold = find_cold(batch)
if #cold > 0 then return {'cold', pack(cold)} end

local done = {'done', '0', pack(results_of(batch)), pack(flat_of(gone)), pack(answers), pack(flat_of(uncounted))}
local changes = context and code.is_changed(context)
if next(batch.touched) or changes then write_batch(batch, ask, gone, code, context, done, began) end
return tell_time(done, began)
