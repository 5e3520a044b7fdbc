#!lua
--[[
  write_people: create, change and remove profiles, with all that they are found by. Each row is judged as
  if those before it were written.

  KEYS     people, emails, phones; by id, by e-mail, by username, by creation; demo, registered; changes;
           merged; in a restore: meta
  ARGV[1]  token of the restore; '' for none
  ARGV[2]  flat, per row: subject, the profile that it was made from ('': none), the profile ('': none is
           left); a subject at most once
  Returns  per row 'ok', 'changed' (it was made from something else), 'merged' (a guest who is a user by now
           gets none), 'email' or 'phone' (somebody else has it), 'demo' (there are as many as may be; a
           restore brings all that there were); or {} when another restore has begun since
  Time     O(rows * log profiles)
]]
--@constants profile_fields
--@include require_rights
--@include profile_places

local call, unpacked = redis.call, cmsgpack.unpack
if ARGV[1] ~= '' and call('HGET', KEYS[12], 'restoring') ~= ARGV[1] then return {} end

local rows, subjects = unpacked(ARGV[2]), {}
for q = 1, #rows, 3 do subjects[#subjects + 1] = rows[q] end
local known = call('HMGET', KEYS[1], unpack(subjects))
local merged = ARGV[1] == '' and call('HMGET', KEYS[11], unpack(subjects)) or {}
for _, i in ipairs({2, 3, 10}) do call('HLEN', KEYS[i]) end
for i = 4, 7 do call('ZCARD', KEYS[i]) end
for i = 8, 9 do call('SCARD', KEYS[i]) end

-- Who has a name, once the rows before are written.
local function owner_of(owners, key, name)
  if owners[name] == nil then owners[name] = call('HGET', key, name) end
  return owners[name]
end
local function is_taken(owners, key, name, subject)
  local owner = name ~= '' and owner_of(owners, key, name)
  return owner and owner ~= subject
end
local function pass_on(owners, key, old, new, subject)
  if old ~= '' and old ~= new and owner_of(owners, key, old) == subject then owners[old] = false end
  if new ~= '' then owners[new] = subject end
end

local emails, phones, told, accepted, demos = {}, {}, {}, {}, call('SCARD', KEYS[8])
local nobody = {0, 0, 0, 0, 0, '', '', '', '', '', '', '', ''}
for i, subject in ipairs(subjects) do
  local from, to = rows[3 * i - 1], rows[3 * i]
  local old, new = from ~= '' and unpacked(from) or nobody, to ~= '' and unpacked(to) or nobody
  local more_demos = new[PROFILE_DEMO] - old[PROFILE_DEMO]
  if (known[i] or '') ~= from then
    told[i] = 'changed'
  elseif merged[i] and to ~= '' then
    told[i] = 'merged'
  elseif is_taken(emails, KEYS[2], new[PROFILE_EMAIL_KEY], subject) then
    told[i] = 'email'
  elseif is_taken(phones, KEYS[3], new[PROFILE_PHONE_KEY], subject) then
    told[i] = 'phone'
  elseif more_demos > 0 and demos >= DEMO_MAX and ARGV[1] == '' then
    told[i] = 'demo'
  else
    told[i] = 'ok'
    demos = demos + more_demos
    accepted[#accepted + 1] = {subject = subject, old = from ~= '' and old, new = to ~= '' and new, packed = to}
    pass_on(emails, KEYS[2], old[PROFILE_EMAIL_KEY], new[PROFILE_EMAIL_KEY], subject)
    pass_on(phones, KEYS[3], old[PROFILE_PHONE_KEY], new[PROFILE_PHONE_KEY], subject)
  end
end
if #accepted == 0 then return told end
require_rights(KEYS[1], {'HDEL', 'HINCRBY', 'HSET', 'SADD', 'SREM', 'ZADD', 'ZREM'})

-- What goes into each key and what leaves it, each in one call: {command → {key → arguments}}.
local writes = {ZREM = {}, ZADD = {}, HDEL = {}, HSET = {}, SREM = {}, SADD = {}}
local function add(command, key, one, other)
  local list = writes[command][key] or {}
  writes[command][key], list[#list + 1] = list, one
  if other then list[#list + 1] = other end
end
local function keep_in(key, subject, is_member) add(is_member and 'SADD' or 'SREM', key, subject) end
for q, owners in ipairs({emails, phones}) do
  for name, owner in pairs(owners) do add(owner and 'HSET' or 'HDEL', KEYS[1 + q], name, owner) end
end
for _, row in ipairs(accepted) do
  local subject, new = row.subject, row.new
  local old_places = row.old and places_of(subject, row.old) or {}
  local new_places = new and places_of(subject, new) or {}
  for place = 1, 4 do
    local key, from, to = KEYS[3 + place], old_places[place], new_places[place]
    if from and from ~= to then add('ZREM', key, from) end
    if to and from ~= to then add('ZADD', key, 0, to) end
  end
  add(new and 'HSET' or 'HDEL', KEYS[1], subject, new and row.packed)
  keep_in(KEYS[8], subject, new and new[PROFILE_DEMO] == 1)
  keep_in(KEYS[9], subject, new and new[PROFILE_ACTIVE] == 1 and new[PROFILE_KIND] == USER)
end
for command, keys in pairs(writes) do
  for key, list in pairs(keys) do call(command, key, unpack(list)) end
end
call('HINCRBY', KEYS[10], 'state', 1)
return told
