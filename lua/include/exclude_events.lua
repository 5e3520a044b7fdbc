-- Finds the events whose id was counted before, and takes them out of the batch's sums.
-- Returns {place, where it was counted, ...}.
local function exclude_events(keys, ids, places, sums, cells)
  local excluded, n = {}, 0
  if #ids == 0 then return excluded end
  local found = {}
  for _, generation in ipairs(keys.ids) do
    local known = redis.call('HMGET', generation, unpack(ids))
    for i = 1, #ids do
      if known[i] and not found[i] then found[i], n = known[i], n + 1 end
    end
  end
  if n == 0 then return excluded end

  -- Per event: {place of its subject in the sums, time, places in the sums, places in the hour
  -- sums, places in the day sums, what to take out at each place, index of its day}.
  local events, gone = cmsgpack.unpack(ARGV[2]), {}
  local function take(list, at, amounts)
    for j = 1, #at do list[at[j]] = list[at[j]] - amounts[j] end
  end
  for i = 1, #ids do
    if found[i] then
      local event = events[places[i]]
      local cell = cells[event[7]]
      take(sums, event[3], event[6])
      take(cell[2], event[4], event[6])
      take(cell[4], event[5], event[6])
      gone[places[i]] = true
      excluded[#excluded + 1] = places[i]
      excluded[#excluded + 1] = found[i]
    end
  end
  -- The first and last time of a subject are those of the events that count.
  local seen = {}
  for place, event in ipairs(events) do
    local base, time = event[1], event[2]
    if not gone[place] then
      if not seen[base] then
        seen[base], sums[base], sums[base + 1] = true, time, time
      elseif time < sums[base] then sums[base] = time
      elseif time > sums[base + 1] then sums[base + 1] = time end
    end
  end
  return excluded
end
