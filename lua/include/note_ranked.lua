-- What `meta` is to say of which meters are ranked, and with one that was not the last day that was counted before:
-- up to that day its boards of days lack what was counted meanwhile. Nobody has counted on a later one.
-- Nothing where it says so already.
local function newly_ranked(meta, ranked, changes)
  local call, names, last = redis.call, table.concat(ranked, ','), nil
  local before = call('HGET', meta, 'ranked')
  if before == names then return end
  for _, day in ipairs(call('HKEYS', changes)) do
    day = tonumber(day)
    if day and not (last and last >= day) then last = day end
  end
  local fields = {'ranked', names}
  for _, meter in ipairs(last and ranked or {}) do
    if not string.find(',' .. (before or '') .. ',', ',' .. meter .. ',', 1, true) then
      fields[#fields + 1], fields[#fields + 2] = 'ranked:' .. meter, last
    end
  end
  return fields
end
