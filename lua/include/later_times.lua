-- What has to be written so that first and last times of subjects hold these, too: arguments of HSET.
-- times: flat {subject, {first upload, last upload, last download, last call}}, 0 for none.
local function later_times(key, times)
  local writes, ids = {}, {}
  for q = 1, #times, 2 do ids[#ids + 1] = times[q] end
  if #ids == 0 then return writes end
  local old = redis.call('HMGET', key, unpack(ids))
  for i = 1, #ids do
    local new, known = times[2 * i], old[i] and cmsgpack.unpack(old[i])
    if known then
      if new[1] == 0 or known[1] ~= 0 and known[1] < new[1] then new[1] = known[1] end
      for j = 2, 4 do
        if known[j] > new[j] then new[j] = known[j] end
      end
    end
    writes[2 * i - 1], writes[2 * i] = ids[i], cmsgpack.pack(new)
  end
  return writes
end
