--@include require_rights
--@include note_ranked

-- Counts the batch on each of its days on which something counts: a snapshot of these is due.
local function count_changes(batch, key)
  for i = 1, #batch.days do
    local rollups = batch.rollups[2 * i - 1]
    for j = 1, #rollups.fields do
      if rollups[j].touched then
        redis.call('HINCRBY', key, batch.days[i], 1)
        break
      end
    end
  end
end

-- Takes a guest who becomes a user off the days of which all went over: it is no subject of theirs any more.
-- What was undone is told of those who stay.
local function leave_empty_days(batch, guest)
  local function is_empty(values, first, step)
    for q = first, #values, step do
      if values[q] ~= 0 then return false end
    end
    return true
  end
  for _, entries in pairs(batch.use) do
    local entry = entries[guest]
    if entry and entry[USE_EVENTS] == 0 and is_empty(entry, USE_METERS + 1, 2) then entries[guest] = false end
  end
  for i, subject in ipairs(batch.subjects) do
    local record = batch.touched[i] and subject == guest and batch.records[i]
    if record and record[DAY_EVENTS] == 0 and is_empty(record, METERS + 2, 3) then
      record[DAY_FIRST], record[DAY_LAST] = NO_FIRST, NO_LAST
    end
  end
end

-- Writes a batch that counts or changes something, and sets its position in what is answered.
-- Every key that is written was read once before, or is here: Redis does not roll back, so a key of
-- a wrong type has to fail by now. From the first write on nothing fails.
local function write_batch(batch, ask, gone, code, context, done, began)
  local call, keys, ttl, at, counts = redis.call, batch.keys, ask[4], 0, next(batch.touched)
  local ids, ledger = ask[17], context and code.ledger_of(context) or ''
  local sizes = size_keys(batch, ids)
  local changes = KEYS[#KEYS]
  call('HLEN', changes)
  local ranked = counts and newly_ranked(keys.meta, batch.ranked, changes)
  require_rights(keys.log, {'XADD', 'EXPIRE', 'HINCRBY', 'HSET', 'ZADD', 'SET'})
  if context then require_rights(keys.log, {'ZREM', 'ZREMRANGEBYSCORE', 'HDEL', 'INCRBY'}) end
  if counts or ledger ~= '' then
    local entry = {'b', ARGV[2], 'r', done[3], 'x', done[4]}
    if ledger ~= '' then entry[7], entry[8] = 'c', ledger end
    local id = call('XADD', keys.log, '0-*', unpack(entry))
    local number = tonumber(string.match(id, '-(%d+)'))
    if number == 1 then call('EXPIRE', keys.log, ttl[1]) end
    at = ask[2] * DAY_STRIDE + number
    done[2] = string.format('%.0f', at)
  end
  if counts then
    if ranked then call('HSET', keys.meta, unpack(ranked)) end
    count_changes(batch, changes)
    if context and context.leaving then leave_empty_days(batch, context.leaving) end
    write_records(batch, at)
    write_days(batch)
    write_ids(keys.ids[1], sizes, ids, ask[18], gone, at, ttl[2])
  end
  if context then
    code.write(context, at)
    call('HINCRBY', changes, 'state', 1)
  end
  tell_time(done, began)
  call('SET', keys.marker, cmsgpack.pack(ask[1], done), 'EX', MARKER_TTL_S)
end
