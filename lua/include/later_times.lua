-- Makes first and last times hold others, too.
local function widen_times(new, known)
  if new[1] == 0 or known[1] ~= 0 and known[1] < new[1] then new[1] = known[1] end
  for j = 2, 4 do
    if known[j] > new[j] then new[j] = known[j] end
  end
end

-- What has to be written so that first and last times of subjects hold these, too: arguments of HSET.
-- times: flat {subject, {first upload, last upload, last download, last call}}, 0 for none.
local function later_times(key, times)
  local writes, ids = {}, {}
  for q = 1, #times, 2 do ids[#ids + 1] = times[q] end
  if #ids == 0 then return writes end
  local old = redis.call('HMGET', key, unpack(ids))
  for i = 1, #ids do
    local new = times[2 * i]
    if old[i] then widen_times(new, cmsgpack.unpack(old[i])) end
    writes[2 * i - 1], writes[2 * i] = ids[i], cmsgpack.pack(new)
  end
  return writes
end

-- Gives the times of guests to the users that they were merged into: flat {guest, user, ...}. Adds to
-- `writes`, and returns who has none any more.
local function move_times(key, writes, merged)
  local place, left = {}, {}
  for q = 1, #writes, 2 do place[writes[q]] = q + 1 end
  local function times_of(subject)
    local packed = place[subject] and writes[place[subject]] or redis.call('HGET', key, subject)
    return packed and cmsgpack.unpack(packed)
  end
  for q = 1, #merged, 2 do
    local guest, user = merged[q], merged[q + 1]
    local its, mine = times_of(guest), times_of(user)
    if its then
      if mine then widen_times(its, mine) end
      local at = place[user] or #writes + 2
      place[user], writes[at - 1], writes[at], left[#left + 1] = at, user, cmsgpack.pack(its), guest
    end
  end
  return left
end
