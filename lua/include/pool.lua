--@include require_rights

-- The keys of a pool, in the order in which all its scripts that write take them. Each is looked at,
-- since a wrong type has to show before the first write.
local pool = {
  changes = KEYS[1], facts = KEYS[2], keys = KEYS[3], sealed = KEYS[4], digests = KEYS[5],
  providers = KEYS[6], holders = KEYS[7],
  listed = KEYS[8], free = KEYS[9], held = KEYS[10], ready = KEYS[11], used = KEYS[12],
}
for i = 1, 12 do redis.call(i < 8 and 'HLEN' or 'ZCARD', KEYS[i]) end
require_rights(pool.keys, {'HSET', 'HSETNX', 'HDEL', 'HINCRBY', 'ZADD', 'ZREM'})

-- What a script is about to write: members to take out and to put in by set, records of holders.
local drops, adds, holders = {}, {}, {}

local function holder_of(subject)
  if not holders[subject] then
    local value = redis.call('HGET', pool.holders, subject)
    holders[subject] = value and cmsgpack.unpack(value) or {0, 0, 0, 0, 0, 0, 0, 0}
  end
  return holders[subject]
end

local function list(is_there, set, member, score)
  local writes = is_there and adds or drops
  local members = writes[set] or {}
  writes[set] = members
  if is_there then members[#members + 1] = score or '0' end
  members[#members + 1] = member
end

-- Puts a key into the lists and sums that it belongs to, or takes it out of them.
local function place(is_there, id, key)
  local number, step = struct.pack('>I7', id), is_there and 1 or -1
  local balance, is_active = key[BALANCE], key[STATE] == ACTIVE
  if key[HOLDER] == '' then
    if is_active then
      -- Highest balance first, unknown ones last, then the oldest.
      local score = balance == '' and '+inf' or string.format('%.0f', -balance)
      list(is_there, pool.free, struct.pack('>I7', key[CREATED]) .. number, score)
    end
    return
  end
  local owner, holder = of_holder(key[HOLDER]), holder_of(key[HOLDER])
  local of_provider = owner .. key[PROVIDER] .. '\0'
  list(is_there, pool.held, of_provider .. number)
  holder[HELD] = holder[HELD] + step
  holder[HELD + key[STATE]] = holder[HELD + key[STATE]] + step
  if is_active and balance ~= '' then
    list(is_there, pool.ready, of_provider .. ordered(balance) .. number)
    holder[HELD_BALANCE] = holder[HELD_BALANCE] + step * balance
  end
  if key[USED_AT] > 0 then
    list(is_there, pool.used, owner .. struct.pack('>I7', MAX - key[USED_AT]) .. struct.pack('>I7', MAX - id))
    holder[HELD_USED] = holder[HELD_USED] + step
  end
end

-- Whether all sums stay exact.
local function fits()
  for _, holder in pairs(holders) do
    if not (math.abs(holder[HELD_BALANCE]) <= MAX and holder[RECEIVED] <= MAX) then return false end
  end
  return true
end

-- Writes the lists and the records of holders.
local function write_places()
  for set, members in pairs(drops) do redis.call('ZREM', set, unpack(members)) end
  for set, members in pairs(adds) do redis.call('ZADD', set, unpack(members)) end
  for subject, holder in pairs(holders) do redis.call('HSET', pool.holders, subject, cmsgpack.pack(holder)) end
end

-- Says that what state.json holds has changed.
local function note_change() redis.call('HINCRBY', pool.changes, 'state', 1) end
