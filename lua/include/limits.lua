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
local function drop_old_limits(context, list, width)
  if not context.known_limits then
    context.known_limits = {}
    for _, limit in ipairs(context.limits) do context.known_limits[limit[LIMIT_ID]] = true end
  end
  for q = #list - width + 1, 1, -width do
    if not context.known_limits[list[q]] then cut(list, q, width) end
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
