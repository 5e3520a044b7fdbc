-- Whether credits may be taken or set aside. What is held stays exact.
local function credits_suffice(context, balance, held, credits)
  return balance - held - credits >= context.rules.floor and held + credits <= MAX
end

-- When they suffice if nothing else happens: holds expire, the allowance is reset once, grants expire. 0 for never.
local function credits_suffice_at(context, fields, credits)
  local balance, held, monthly, reset_at = balance_of(fields), held_of(fields), fields[MONTHLY], fields[NEXT_RESET]
  local times, freed, lost = {reset_at}, {[reset_at] = 0}, {}
  local function add(list, sums)
    for q = 1, #list, ENTRY_WIDTH do
      local at = list[q + ENTRY_EXPIRES]
      if at > 0 then
        if not freed[at] and not lost[at] then times[#times + 1] = at end
        sums[at] = (sums[at] or 0) + list[q + ENTRY_CREDITS]
      end
    end
  end
  add(fields[HOLDS], freed)
  add(fields[GRANTS], lost)
  table.sort(times)
  for _, at in ipairs(times) do
    if at == reset_at then
      local new = fields[ALLOWANCE] + math.min(math.max(monthly, 0), context.rules.rollover)
      balance = math.min(MAX, balance - monthly + new)
    end
    balance, held = balance - (lost[at] or 0), held - (freed[at] or 0)
    if credits_suffice(context, balance, held, credits) then return at end
  end
  return 0
end

-- Judges what a decision asks against its limits and the balance, all together. Returns the sum of what was violated
-- and the answer: {status, balance, held, then per limit: used, most, when}; last, if credits do not suffice, when.
local function judge(context, account, decision)
  local now, limits, status = context.now, decision[LIMITS], OK
  local balance, held, n, is_too_large = balance_of(account.fields), held_of(account.fields), ANSWER_HEAD, false
  -- A table that grows one by one is moved: most decisions have one limit.
  local answer = limits[1] and {OK, balance, held, 0, 0, 0} or {OK, balance, held}
  for q = 1, #limits, 2 do
    local limit, asked = context.limits[limits[q]], limits[q + 1]
    local used, most, at = usage_of(account, limit, asked, now)
    answer[n + 1], answer[n + 2], answer[n + 3], n = used, most, at, n + 3
    -- Who asks for nothing only looks. Also what has no limit is counted exactly.
    if asked > 0 and not (used + asked <= (most >= 0 and most or MAX)) then
      if most >= 0 then status = LIMIT_HIT else is_too_large = true end
    end
  end
  if is_too_large and status == OK then return TOO_LARGE, {TOO_LARGE} end
  local credits = decision[CREDITS]
  if credits > 0 and not credits_suffice(context, balance, held, credits) then
    status = status + CREDITS_HIT
    answer[n + 1] = credits_suffice_at(context, account.fields, credits)
  end
  answer[ANSWER_STATUS] = status
  return status, answer
end

-- Whether all totals of an account stay exact when a decision takes what it asks.
local function can_take(context, account, decision)
  local credits, fields, limits = decision[CREDITS], account.fields, decision[LIMITS]
  if not (fields[TOTAL_USED] + credits <= MAX and fields[MONTHLY] - credits >= -MAX) then return false end
  for q = 1, #limits, 2 do
    if not is_exact(context, account, context.limits[limits[q]], limits[q + 1]) then return false end
  end
  return true
end

-- Takes what a decision asks, whatever limits and balance say; TOO_LARGE, and nothing, if a total would not be exact.
local function take(context, account, decision, reference)
  if not can_take(context, account, decision) then return TOO_LARGE end
  local credits, limits = decision[CREDITS], decision[LIMITS]
  if credits > 0 then
    charge(account, credits, context.now, reference)
    account.is_changed = true
  end
  for q = 1, #limits, 2 do
    use_limit(context, account, context.limits[limits[q]], limits[q + 1], decision[TIME])
  end
  return OK
end

-- When there is more of each limit, after what was asked is taken or held.
local function there_is_more(context, account, decision, answer)
  local limits = decision[LIMITS]
  for q = 1, #limits, 2 do
    local limit = context.limits[limits[q]]
    if limit[LIMIT_KIND] ~= FIXED then
      local _, _, at = usage_of(account, limit, 0, context.now)
      answer[ANSWER_HEAD + 3 * (q + 1) / 2] = at
    end
  end
  return answer
end

-- The balance as it is after a decision that takes.
local function taken(account, answer)
  answer[ANSWER_BALANCE], answer[ANSWER_HELD] = balance_of(account.fields), held_of(account.fields)
  return answer
end
