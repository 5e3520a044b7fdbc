-- When the next reset of the allowance brings what is asked; 0 when it does not. Grants and holds
-- that end before it are gone by then.
local function credits_suffice_at(context, fields, credits)
  local at, allowance, rollover = fields[NEXT_RESET], fields[ALLOWANCE], context.rules.rollover
  if allowance == 0 then return 0 end
  local sum = allowance + math.min(math.max(fields[MONTHLY], 0), rollover)
  for _, sign in ipairs({1, -1}) do
    local list = fields[sign == 1 and GRANTS or HOLDS]
    for q = 1, #list, ENTRY_WIDTH do
      local expires = list[q + ENTRY_EXPIRES]
      if expires == 0 or expires > at then sum = sum + sign * list[q + ENTRY_CREDITS] end
    end
  end
  return sum - credits >= context.rules.floor and at or 0
end

-- Judges what a decision asks against its limits and the balance, all together. Returns the sum of
-- what was violated and, for the answer: {status, balance, held, then per limit: used, most, when};
-- last, if credits do not suffice, when they will.
local function judge(context, account, decision)
  local now, limits, status = context.now, decision[LIMITS], OK
  local balance, held, n = balance_of(account.fields), held_of(account.fields), ANSWER_HEAD
  local is_too_large = false
  -- A table that grows one by one is moved: most decisions have one limit.
  local answer = limits[1] and {OK, balance, held, 0, 0, 0} or {OK, balance, held}
  for q = 1, #limits, 2 do
    local limit, asked = context.limits[limits[q]], limits[q + 1]
    local used, most, at = usage_of(account, limit, asked, now)
    answer[n + 1], answer[n + 2], answer[n + 3], n = used, most, at, n + 3
    if most >= 0 then
      if not (used + asked <= most) then status = LIMIT_HIT end
    elseif asked > 0 and not (used + asked <= MAX) then
      -- Also what has no limit is counted exactly.
      is_too_large = true
    end
  end
  if is_too_large and status == OK then return TOO_LARGE, {TOO_LARGE} end
  local credits = decision[CREDITS]
  -- The second: what is held stays exact.
  if credits > 0
    and not (answer[ANSWER_BALANCE] - answer[ANSWER_HELD] - credits >= context.rules.floor
      and answer[ANSWER_HELD] + credits <= MAX) then
    status = status + CREDITS_HIT
    answer[n + 1] = credits_suffice_at(context, account.fields, credits)
  end
  answer[ANSWER_STATUS] = status
  return status, answer
end

-- Takes what a decision asks, whatever the limits and the balance say. Returns TOO_LARGE, and does
-- nothing, if a total would pass what is counted exactly.
local function take(context, account, decision, reference)
  local credits, fields = decision[CREDITS], account.fields
  if credits > 0 then
    if not (fields[TOTAL_USED] + credits <= MAX and fields[MONTHLY] - credits >= -MAX) then
      return TOO_LARGE
    end
    charge(account, credits, context.now, reference)
    account.is_changed = true
  end
  local limits = decision[LIMITS]
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
