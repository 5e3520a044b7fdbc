-- What is used in a window that adds amounts up, now.
local function used_in(context, limit, windows, q)
  local used, sum = windows[q + WINDOW_USED], 0
  if limit[LIMIT_KIND] == FIXED then return windows[q + WINDOW_START] < limit[STARTS] and 0 or used end
  for j = 1, #used, 2 do
    if (used[j] + 1) * limit[SPAN] + limit[ENDS] > context.now then sum = sum + used[j + 1] end
  end
  return sum
end

-- Whether what is used of a limit stays exact with an amount more. A rate has a bound of its own.
local function is_exact(context, account, limit, amount)
  local windows, kind = account.fields[WINDOWS], limit[LIMIT_KIND]
  local q = (kind == FIXED or kind == ROLLING) and window_of(windows, limit[LIMIT_ID])
  return not q or used_in(context, limit, windows, q) + amount <= MAX
end

-- Counts an amount (below 0: takes it back) in a limit's window.
local function use_limit(context, account, limit, amount, time)
  local windows, kind, now = account.fields[WINDOWS], limit[LIMIT_KIND], context.now
  if kind == CONCURRENT or amount == 0 then return end
  -- What is used without a rate never runs out: it would be a debt without end once there is one.
  if kind == RATE and amount_of(account, limit) < 0 then return end
  -- How much of an event a rate still holds is not known: taking it all back could free too much.
  if kind == RATE and amount < 0 then return end
  local q = window_of(windows, limit[LIMIT_ID])
  -- Nothing was used: an account is opened for nobody who only gives back.
  if not q and amount < 0 then return end
  account.is_changed = true
  if not q then
    if not account.has_dropped then drop_old_limits(context, windows, WINDOW_WIDTH) end
    account.has_dropped = true
    q = #windows + 1
    windows[q], windows[q + WINDOW_START] = limit[LIMIT_ID], 0
    windows[q + WINDOW_USED] = kind == ROLLING and {} or 0
  end
  if kind == FIXED then
    if windows[q + WINDOW_START] < limit[STARTS] then
      windows[q + WINDOW_START], windows[q + WINDOW_USED] = limit[STARTS], 0
    end
    windows[q + WINDOW_USED] = math.max(0, windows[q + WINDOW_USED] + amount)
  elseif kind == RATE then
    local level =
      level_of(windows[q + WINDOW_START], windows[q + WINDOW_USED], amount_of(account, limit), now)
    windows[q + WINDOW_START] = math.max(windows[q + WINDOW_START], now)
    windows[q + WINDOW_USED] = math.min(MAX, math.max(0, level + amount * limit[SPAN]))
  else
    local old, new, bucket, place = windows[q + WINDOW_USED], {}, math.floor(time / limit[SPAN])
    for j = 1, #old, 2 do
      if (old[j] + 1) * limit[SPAN] + limit[ENDS] > now then
        new[#new + 1], new[#new + 2] = old[j], old[j + 1]
        if old[j] == bucket then place = #new end
      end
    end
    if place then
      new[place] = math.max(0, new[place] + amount)
    elseif amount > 0 then
      new[#new + 1], new[#new + 2] = bucket, amount
    end
    windows[q + WINDOW_USED] = new
  end
end
