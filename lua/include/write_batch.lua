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

-- Writes a batch that counts or changes something, and sets its position in what is answered.
-- Every key that is written was read once before, or is here: Redis does not roll back, so a key of
-- a wrong type has to fail by now. From the first write on nothing fails.
local function write_batch(batch, ask, gone, code, context, done)
  local call, keys, ttl, at, counts = redis.call, batch.keys, ask[4], 0, next(batch.touched)
  local ids, ledger = ask[17], context and code.ledger_of(context) or ''
  local sizes = size_keys(batch, ids)
  local changes = KEYS[#KEYS]
  call('HLEN', changes)
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
    count_changes(batch, changes)
    write_records(batch, at)
    write_days(batch)
    write_ids(keys.ids[1], sizes, ids, ask[18], gone, at, ttl[2])
  end
  if context then
    code.write(context, at)
    call('HINCRBY', changes, 'state', 1)
  end
  call('SET', keys.marker, cmsgpack.pack(ask[1], done), 'EX', MARKER_TTL_S)
end
