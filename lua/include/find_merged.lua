-- Flat {guest, user, ...}: who of a batch was merged into somebody. A guest's own account may be looked at.
local function find_merged(batch, ask, keys)
  local guests, asked, merged, look = {}, {}, {}, 11
  local function add(subject)
    if not asked[subject] and string.sub(subject, 1, 6) == 'guest:' then
      asked[subject], guests[#guests + 1] = true, subject
    end
  end
  for _, subject in ipairs(batch.subjects) do add(subject) end
  for _, decision in ipairs(ask[21]) do
    if decision[ACCOUNT] > 0 and decision[KIND] ~= look then add(ask[20][3 * decision[ACCOUNT] - 2]) end
  end
  if #guests == 0 then return merged end
  for i, user in ipairs(redis.call('HMGET', keys.merged, unpack(guests))) do
    if user then merged[#merged + 1], merged[#merged + 2] = guests[i], user end
  end
  return merged
end

-- Whether a batch is about a subject.
local function names_subject(batch, ask, name)
  for _, subject in ipairs(batch.subjects) do
    if subject == name then return true end
  end
  for i = 1, #ask[20], 3 do
    if ask[20][i] == name then return true end
  end
  return false
end
