local function limits_by_id(context)
  local by_id = {}
  for _, limit in ipairs(context.limits) do by_id[limit[LIMIT_ID]] = limit end
  return by_id
end

-- Whether what a guest has used of limits stays exact beside what a user has.
local function can_move_windows(context, user, guest)
  local windows, by_id = guest.fields[WINDOWS], limits_by_id(context)
  for q = 1, #windows, WINDOW_WIDTH do
    local limit = by_id[windows[q]]
    local adds_up = limit and (limit[LIMIT_KIND] == FIXED or limit[LIMIT_KIND] == ROLLING)
    if adds_up and not is_exact(context, user, limit, used_in(context, limit, windows, q)) then return false end
  end
  return true
end

-- Takes what a guest has used of limits over to a user. Windows that are over are left out.
local function move_windows(context, user, guest)
  local windows, by_id = guest.fields[WINDOWS], limits_by_id(context)
  for q = 1, #windows, WINDOW_WIDTH do
    local limit, start, used = by_id[windows[q]], windows[q + WINDOW_START], windows[q + WINDOW_USED]
    if limit and limit[LIMIT_KIND] == ROLLING then
      for j = 1, #used, 2 do use_limit(context, user, limit, used[j + 1], used[j] * limit[SPAN]) end
    elseif limit and limit[LIMIT_KIND] == RATE then
      local level = level_of(start, used, math.max(0, amount_of(guest, limit)), context.now)
      use_limit(context, user, limit, math.ceil(level / limit[SPAN]), context.now)
    elseif limit and start >= limit[STARTS] then
      use_limit(context, user, limit, used, context.now)
    end
  end
end
