-- What a subject may use of a limit: its own amount, or that of its class.
local function amount_of(account, limit)
  local overrides = account.fields[OVERRIDES]
  for q = 1, #overrides, 2 do
    if overrides[q] == limit[LIMIT_ID] then return overrides[q + 1] end
  end
  return limit[CLASS_AMOUNTS][account.class]
end

local function window_of(windows, id)
  for q = 1, #windows, WINDOW_WIDTH do
    if windows[q] == id then return q end
  end
end

-- Drops from a flat list, which has limits' ids first, what is kept for limits that are not in force
-- any more: their ids never come back.
local function drop_old_limits(limits, list, width)
  local known = {}
  for _, limit in ipairs(limits) do known[limit[LIMIT_ID]] = true end
  for q = #list - width + 1, 1, -width do
    if not known[list[q]] then cut(list, q, width) end
  end
end

-- What open holds keep of a limit, and when the first of them expires.
local function kept_by_holds(account, id)
  local kept, first, holds = 0, 0, account.fields[HOLDS]
  if not holds[1] then return 0, 0 end
  for q = 1, #holds, ENTRY_WIDTH do
    local amounts, expires = holds[q + ENTRY_AMOUNTS], holds[q + ENTRY_EXPIRES]
    for j = 1, #amounts, 2 do
      if amounts[j] == id then
        kept = kept + amounts[j + 1]
        if first == 0 or expires < first then first = expires end
      end
    end
  end
  return kept, first
end

-- A rate's level now: it runs out by its amount each ms (a leaky bucket as a meter, which is GCRA
-- in another form; ITU-T I.371, annex A). A clock that was set back does not fill or empty it.
local function level_of(when, level, amount, now)
  return math.max(0, level - math.max(0, now - when) * amount)
end

-- When a rolling window has `excess` less in it: buckets leave it from the oldest on.
local function leaves_at(buckets, limit, excess)
  local order, gone = {}, 0
  for j = 1, #buckets, 2 do order[#order + 1] = j end
  table.sort(order, function(a, b) return buckets[a] < buckets[b] end)
  for _, j in ipairs(order) do
    gone = gone + buckets[j + 1]
    if gone >= excess then return (buckets[j] + 1) * limit[SPAN] + limit[ENDS] end
  end
  return 0
end

-- What is used of a limit, the most that may be, and when there is room for `asked` (or, if there
-- is, when there will be more); 0 for never.
local function usage_of(account, limit, asked, now)
  local windows, kind, most = account.fields[WINDOWS], limit[LIMIT_KIND], amount_of(account, limit)
  local kept, freed = kept_by_holds(account, limit[LIMIT_ID])
  local q = window_of(windows, limit[LIMIT_ID])
  if kind == CONCURRENT then return kept, most, freed end
  if kind == FIXED then
    -- A window that began later than this one is in use when the clock was set back.
    local used = q and windows[q + WINDOW_START] >= limit[STARTS] and windows[q + WINDOW_USED] or 0
    return used + kept, most, limit[ENDS]
  end
  if kind == ROLLING then
    local used, buckets, live = 0, q and windows[q + WINDOW_USED] or {}, {}
    for j = 1, #buckets, 2 do
      if (buckets[j] + 1) * limit[SPAN] + limit[ENDS] > now then
        used = used + buckets[j + 1]
        live[#live + 1], live[#live + 2] = buckets[j], buckets[j + 1]
      end
    end
    return used + kept, most, leaves_at(live, limit, math.max(1, used + kept + asked - most))
  end
  local rate = most
  -- A rate of nothing has no burst.
  if most > 0 and limit[BURST] > 0 then most = limit[BURST] end
  local level = q
    and level_of(windows[q + WINDOW_START], windows[q + WINDOW_USED], math.max(0, rate), now) or 0
  local used = math.ceil(level / limit[SPAN]) + kept
  if rate <= 0 or asked > most then return used, most, 0 end
  local excess = level + (kept + asked - most) * limit[SPAN]
  if excess <= 0 then excess = level > 0 and (level - 1) % limit[SPAN] + 1 or 0 end
  return used, most, now + math.ceil(excess / rate)
end
