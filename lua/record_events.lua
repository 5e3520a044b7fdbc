#!lua
--[[
  record_events: decide about a batch, and count its events, all of it in one step.

  A batch holds its events' sums by subject, day and set of meters, so that counting is work per
  subject and not per event. Decisions (charges, checks, holds, grants) are taken one by one in
  their order (include/decide). Events that were counted before or are refused are taken out of the
  sums (include/exclude_events). Everything is checked, and then written.

  KEYS     subjects, marker, log, rules; per day: hours, day, boards (one per ranked meter); id
           generations (the one to write first); if there are decisions: accounts, holds, open
           holds, ended holds, grants, reversed; if subjects move from day to day: closed boards (one per
           ranked meter), `use` of each day, `use` of each of head.rolls; always last: changes
  ARGV[1]  {head, subjects, sets, rows, fields, cells, ids, places, rules, holders, decisions}:
             head      {seq, log day, today, {ttl_s of log, ids, days}, ranked meters, days, rolls,
                       number of id generations, 1 if KEYS has what moving needs, now_ms, version
                       of the rules}
             subjects  {id, ...}
             sets      {{meter, ...}, ...}: the meters that events have together
             rows      flat, per row: index of its subject, day and set; events, first_ms, last_ms,
                       amount per meter of the set
             fields    per day: {fields of `hours`, fields of `day`}
             cells     flat, per cell: index of its day and of its fields in `hours` and `day`, of
                       its set; events, amount per meter of the set
             ids       {digest, ...} of the events that clients named
             places    {index of the event, ...} of those ids
             rules, holders: see include/context; decisions: see include/account_fields
  ARGV[2]  the events themselves, for the log; unpacked only to take one out
  Returns  {"done", log position, results, excluded, answers}: results, per subject the position of
           its entry before, then per row the subject's totals; excluded, per event that does not
           count its place and where it was first counted (empty: it was refused); answers, per
           decision. Or {"stale"}; {"rules"}: these rules are not in force any more; {"move", days}:
           send again with what moving needs, and these days; {"overflow", indexes of subjects, 1
           if a rollup overflows}. Nothing is written but for "done".
  Time     O(events), and O(log subjects) per subject and ranked meter
]]
--@include constants
--@include account_fields
--@include name_keys
--@include find_known
--@include exclude_events
--@include accounts
--@include limits
--@include use_limit
--@include judge
--@include holds
--@include administer
--@include decide
--@include context
--@include new_batch
--@include leave_day
--@include add_late
--@include add_part
--@include add_rows
--@include add_cells
--@include results_of
--@include size_keys
--@include write_records
--@include write_days
--@include write_ids
--@include write_batch

local call, pack, decode = redis.call, cmsgpack.pack, cmsgpack.unpack
local ask = decode(ARGV[1])
local head, ids, places, decisions = ask[1], ask[7], ask[8], ask[11]
local keys = name_keys(head, #decisions > 0)

-- Sent before? Then it was done then, or its sender has given it up since.
local marker = call('GET', keys.marker)
if marker then
  local last, done = decode(marker)
  if head[1] < last then return {'stale'} end
  if head[1] == last then return done end
end
if (call('HGET', keys.rules, 'version') or '') ~= head[11] then return {'rules'} end

local batch, gone, context, answers = new_batch(head, keys, ask), {}, nil, {}
find_known(keys, ids, places, gone)
if #decisions > 0 then
  context = new_context(keys, head[10], ask[9], ask[10])
  answers = decide(context, decisions, gone)
end
if next(gone) then exclude_events(batch, gone) end

if #ask[2] > 0 then batch.records = call('HMGET', keys.subjects, unpack(ask[2])) end
add_rows(batch)
add_cells(batch)
if #batch.overflow > 0 or batch.rollup_overflows then
  return {'overflow', pack(batch.overflow), batch.rollup_overflows and 1 or 0}
end
if next(batch.missing) then return {'move', pack(list_of(batch.missing))} end

local excluded = {}
for place, where in pairs(gone) do excluded[#excluded + 1], excluded[#excluded + 2] = place, where end
local done = {'done', '0', pack(results_of(batch)), pack(excluded), pack(answers)}
local changes = context and is_changed(context)
if next(batch.touched) or changes then
  write_batch(batch, head, ids, places, gone, context, done)
end
return done
