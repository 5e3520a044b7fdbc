#!lua
--[[
  follow_usage: count what the log holds by minutes, the subjects of minutes, hours, days and months,
  and guests, and note when subjects did something first and last, unless somebody else did: the
  state says up to where that was done.

  KEYS     state, then a key per set of subjects, then a hash per hour of minutes; activity, guests,
           changes
  ARGV     the state that is expected; the state afterwards; {sets, minutes, times, guests, merged}
           (packed): sets, per key {ttl_s or 0, {subject, ...}, {who has left, ...}}; minutes, per key {ttl_s, {field, {events, meter,
           amount, ...}, ...}}; times, flat {subject, {first upload, last upload, last download, last
           call}} in ms, 0 for none; guests, {subject, ...}; merged, flat {guest, user, ...}
  Returns  1, or 0 when the state is another one
  Time     O(subjects + fields)
]]
--@constants constants
--@include require_rights
--@include see
--@include later_times

local call = redis.call
if (call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
local sets, minutes, times, guests, merged = unpack(cmsgpack.unpack(ARGV[3]))
local kinds, hashes = kinds_of(2, 1 + #sets), {}

-- Everything is read and added up first: a key of a wrong type fails here.
for i, hour in ipairs(minutes) do
  local key, items, writes = KEYS[1 + #sets + i], hour[2], {}
  for j = 1, #items, 2 do
    local sums, raw = items[j + 1], call('HGET', key, items[j])
    local old = raw and cmsgpack.unpack(raw) or {0}
    old[1] = old[1] + sums[1]
    for p = 2, #sums, 2 do
      local q = 2
      while old[q] and old[q] ~= sums[p] do q = q + 2 end
      old[q], old[q + 1] = sums[p], (old[q + 1] or 0) + sums[p + 1]
    end
    writes[j], writes[j + 1] = items[j], cmsgpack.pack(old)
  end
  hashes[i] = writes
end

local n = #KEYS
local activity = later_times(KEYS[n - 2], times)
local left = move_times(KEYS[n - 2], activity, merged)
call('SCARD', KEYS[n - 1])
call('HLEN', KEYS[n])

require_rights(KEYS[1], {'SADD', 'SREM', 'PFADD', 'DEL', 'EXPIRE', 'HSET', 'HDEL', 'HINCRBY', 'SET'})
for i, set in ipairs(sets) do
  see(KEYS[1 + i], kinds[i], set[2], set[1])
  -- What is estimated forgets nobody.
  if #set[3] > 0 and call('TYPE', KEYS[1 + i]).ok == 'set' then call('SREM', KEYS[1 + i], unpack(set[3])) end
end
for i, hour in ipairs(minutes) do
  local key = KEYS[1 + #sets + i]
  call('HSET', key, unpack(hashes[i]))
  call('EXPIRE', key, hour[1])
end
if #activity > 0 then
  call('HSET', KEYS[n - 2], unpack(activity))
  if #left > 0 then call('HDEL', KEYS[n - 2], unpack(left)) end
  call('HINCRBY', KEYS[n], 'state', 1)
end
if #guests > 0 then call('SADD', KEYS[n - 1], unpack(guests)) end
call('SET', KEYS[1], ARGV[2])
return 1
