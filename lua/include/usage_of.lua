-- When a rolling window has `excess` less in it: buckets leave it from the oldest on.
local function leaves_at(buckets, order, limit, excess)
  local gone = 0
  for _, j in ipairs(order) do
    gone = gone + buckets[j + 1]
    if gone >= excess then return (buckets[j] + 1) * limit[SPAN] + limit[ENDS] end
  end
  return 0
end

-- When there is room if holds only expire, one after the other. `room_at` says when there is beside those
-- that keep so much; 0 for never.
local function room_as_holds_expire(account, id, kept, room_at)
  local at, order, holds = room_at(kept), {}, account.fields[HOLDS]
  for q = 1, #holds, ENTRY_WIDTH do
    local amounts = holds[q + ENTRY_AMOUNTS]
    for j = 1, #amounts, 2 do
      if amounts[j] == id then order[#order + 1] = {holds[q + ENTRY_EXPIRES], amounts[j + 1]} end
    end
  end
  table.sort(order, function(a, b) return a[1] < b[1] end)
  for _, hold in ipairs(order) do
    if at > 0 and at <= hold[1] then break end
    kept = kept - hold[2]
    local beside = room_at(kept)
    if beside > 0 then at = math.max(beside, hold[1]) end
  end
  return at
end

-- What is used of a limit, the most that may be, and when there is room for `asked` (or, if there
-- is, when there will be more); 0 for never. Of minutes to months it is when they end, unless holds that
-- expire make room at another time; of one that begins later, since the clock was set back, its negated
-- start: how long it is exactly the caller knows.
local function usage_of(account, limit, asked, now)
  local windows, kind, most = account.fields[WINDOWS], limit[LIMIT_KIND], amount_of(account, limit)
  local kept, freed = kept_by_holds(account, limit[LIMIT_ID])
  local q = window_of(windows, limit[LIMIT_ID])
  local used, at, live, order, level, rate, ends = 0, 0, nil, nil, 0, most, limit[ENDS]
  -- Later than now when the clock was set back: what is used stays until then.
  local since = q and math.max(windows[q + WINDOW_START], now) or now
  if kind == CONCURRENT then
    if most < 0 or asked <= most then at = freed end
  elseif kind == FIXED then
    -- A window that began later than this one is in use when the clock was set back.
    used = q and windows[q + WINDOW_START] >= limit[STARTS] and windows[q + WINDOW_USED] or 0
    if since >= ends and ends > 0 then ends = since + ends - limit[STARTS] end
    at = ends
  elseif kind == ROLLING then
    local buckets = q and windows[q + WINDOW_USED] or {}
    live, order = {}, {}
    for j = 1, #buckets, 2 do
      if (buckets[j] + 1) * limit[SPAN] + limit[ENDS] > now then
        used = used + buckets[j + 1]
        order[#order + 1] = #live + 1
        live[#live + 1], live[#live + 2] = buckets[j], buckets[j + 1]
      end
    end
    table.sort(order, function(a, b) return live[a] < live[b] end)
    at = leaves_at(live, order, limit, math.max(1, used + kept + asked - most))
  else
    -- A rate of nothing has no burst.
    if most > 0 and limit[BURST] > 0 then most = limit[BURST] end
    level = q
      and level_of(windows[q + WINDOW_START], windows[q + WINDOW_USED], math.max(0, rate), now) or 0
    used = math.ceil(level / limit[SPAN])
    if rate <= 0 or asked > most then return used + kept, most, 0 end
    local excess = level + (kept + asked - most) * limit[SPAN]
    if excess <= 0 then excess = level > 0 and (level - 1) % limit[SPAN] + 1 or 0 end
    at = since + math.ceil(excess / rate)
  end
  if kept > 0 and asked <= most and used + kept + asked > most then
    at = room_as_holds_expire(account, limit[LIMIT_ID], kept, function(still)
      local excess = used + still + asked - most
      if still + asked > most then return 0 end
      if excess <= 0 then return now end
      if kind == FIXED then return ends end
      if kind == ROLLING then return leaves_at(live, order, limit, excess) end
      return since + math.ceil((level + (still + asked - most) * limit[SPAN]) / rate)
    end)
  end
  if kind == FIXED and at == ends and ends ~= limit[ENDS] then at = -since end
  return used + kept, most, at
end
