#!lua
--[[
  record_events: count a batch of events, all of it in one step.

  A batch names each subject once, with the sums of its events by day, so that the work is per
  subject and not per event. The sender adds the events up; this script decides which of them
  count, takes the others out of the sums (include/exclude_events), and writes.

  KEYS     subjects, marker, log; closed boards (one per ranked meter); id generations (the one to
           write first); per day: use, hours, day, boards (one per ranked meter); `use` of every
           further day that a subject may have to leave (head.rolls)
  ARGV[1]  {head, subjects, sums, ids, places, cells}:
             head      {seq, log day, today, {ttl_s of log, ids, days}, ranked meters, days, rolls,
                       number of id generations}
             subjects  {id, ...}
             sums      flat, per subject: first_ms, last_ms, number of meters, number of parts,
                       meters; then per part: index of its day, events, amount per meter
             ids       {digest, ...} of the events that clients named
             places    {index of the event, ...} of those ids
             cells     per day: {hour fields, hour sums, day fields, day sums}
  ARGV[2]  where each event stands in the sums; unpacked only to take one out
  ARGV[3]  the events themselves, for the log
  Returns  {"counted", log position, results, excluded}, results per subject: position of its
           entry before, then its total per meter, and excluded: per event its place and where it
           was first counted; or {"stale"}; or {"roll", days}; or {"overflow", indexes of
           subjects, 1 if a rollup overflows}. Nothing is written but for "counted".
  Time     O(events), and O(log subjects) per subject and ranked meter
]]
--@include constants
--@include name_keys
--@include size_keys
--@include exclude_events
--@include new_batch
--@include leave_day
--@include add_late
--@include add_to_subject
--@include add_to_cells
--@include write_days
--@include write_ids

local call, pack, decode = redis.call, cmsgpack.pack, cmsgpack.unpack
local ask = decode(ARGV[1])
local head, subjects, sums, ids, places, cells = ask[1], ask[2], ask[3], ask[4], ask[5], ask[6]
local seq, log_day, ttl = head[1], head[2], head[4]
local keys = name_keys(head)

-- Sent before? Then it was counted then, or its sender has given it up since.
local marker = call('GET', keys.marker)
if marker then
  local last, position, results, excluded = decode(marker)
  if seq < last then return {'stale'} end
  if seq == last then return {'counted', position, results, excluded} end
end

local excluded = exclude_events(keys, ids, places, sums, cells)

local records = call('HMGET', keys.subjects, unpack(subjects))
local batch = new_batch(head, keys)
local results, p, r = {}, 1, 0
for i = 1, #subjects do
  records[i], p, r = add_to_subject(batch, i, subjects[i], records[i], sums, p, results, r)
end
add_to_cells(batch, cells)
if #batch.overflow > 0 or batch.rollup_overflows then
  return {'overflow', pack(batch.overflow), batch.rollup_overflows and 1 or 0}
end
if next(batch.missing) then return {'roll', pack(list_of(batch.missing))} end
local encoded, left_out = pack(results), pack(excluded)
if batch.counted == 0 then return {'counted', '0', encoded, left_out} end

-- Every key that is going to be written is read once before: Redis does not roll back, so a key of
-- a wrong type has to fail here. From here on nothing fails.
local sizes = size_keys(batch, ids)
local id = call('XADD', keys.log, '0-*', 'b', ARGV[3], 'r', encoded, 'x', left_out)
local at = log_day * DAY_STRIDE + tonumber(string.match(id, '-(%d+)'))
local writes, w = {}, 0
for i = 1, #subjects do
  local record = records[i]
  if record then
    record[AT] = at
    writes[w + 1], writes[w + 2], w = subjects[i], pack(record), w + 2
  end
end
call('HSET', keys.subjects, unpack(writes))
write_days(batch, sizes, ttl[3])
write_ids(keys.ids[1], sizes, ids, places, excluded, at, ttl[2])
if sizes[keys.log] == 0 then call('EXPIRE', keys.log, ttl[1]) end
local position = string.format('%.0f', at)
call('SET', keys.marker, pack(seq, position, encoded, left_out), 'EX', MARKER_TTL_S)
return {'counted', position, encoded, left_out}
