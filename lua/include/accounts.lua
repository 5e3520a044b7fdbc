local function balance_of(fields)
  local sum, grants = fields[MONTHLY], fields[GRANTS]
  for q = 1, #grants, ENTRY_WIDTH do sum = sum + grants[q + ENTRY_CREDITS] end
  return sum
end

local function held_of(fields)
  local sum, holds = 0, fields[HOLDS]
  for q = 1, #holds, ENTRY_WIDTH do sum = sum + holds[q + ENTRY_CREDITS] end
  return sum
end

-- Takes the entry of `width` values at q out of a flat list.
local function cut(list, q, width)
  for _ = 1, width do table.remove(list, q) end
end

-- Whether the last of some grants is what reversals gave back.
local function ends_with_returned(grants) return grants[#grants - ENTRY_WIDTH + 1 + ENTRY_PRIORITY] == LAST_PRIORITY end

-- Whether so many grants, as a flat list has them, are too many: what reversals gave back is one beside the others.
local function are_too_many(length, has_returned)
  return length > ENTRY_WIDTH * (GRANTS_MAX + (has_returned and 1 or 0))
end

-- Notes a line of the ledger, after the change, behind the others: type, change, balance, time,
-- change of what is held, place of the event or id of the grant or hold. `later` is what the balance
-- had then and has not any more.
local function note(account, kind, change, time, held, reference, later)
  local lines, balance = account.lines, balance_of(account.fields) + (later or 0)
  if not lines then
    account.lines = {kind, change, balance, time, held, reference}
    return
  end
  local n = #lines
  lines[n + 1], lines[n + 2], lines[n + 3] = kind, change, balance
  lines[n + 4], lines[n + 5], lines[n + 6] = time, held, reference
end

-- Takes credits from grants, in their order. Returns what they do not have.
local function take_from_grants(fields, left)
  local grants = fields[GRANTS]
  while left > 0 and grants[1] do
    local part = math.min(left, grants[1 + ENTRY_CREDITS])
    grants[1 + ENTRY_CREDITS], left = grants[1 + ENTRY_CREDITS] - part, left - part
    if grants[1 + ENTRY_CREDITS] == 0 then cut(grants, 1, ENTRY_WIDTH) end
  end
  return left
end

-- Takes credits: from the month's allowance, then from grants by priority and expiry; what none of
-- them has is owed. The caller has judged.
local function charge(account, credits, time, reference)
  local fields = account.fields
  local of_month = math.max(0, math.min(credits, fields[MONTHLY]))
  local owed = take_from_grants(fields, credits - of_month)
  fields[MONTHLY] = fields[MONTHLY] - of_month - owed
  fields[MONTH_USED] = fields[MONTH_USED] + credits
  fields[TOTAL_USED] = fields[TOTAL_USED] + credits
  note(account, CHARGE, -credits, time, 0, reference)
end

--@include months

-- Sets the balance to the allowance for each reset that has come, and what rolls over; with what is
-- left of grants it stays within what is counted exactly.
local function reset(rules, account, anchor, began, next_one, later)
  local fields = account.fields
  local due, old, new = fields[NEXT_RESET], fields[MONTHLY], fields[MONTHLY]
  local room = MAX - (balance_of(fields) + later - old)
  -- One at `due`, whatever the day of resets is by now.
  for _ = 0, math.min(months_behind(rules, anchor, due, began), 1000) do
    new = math.min(room, fields[ALLOWANCE] + math.min(math.max(new, 0), rules.rollover))
  end
  fields[MONTHLY], fields[MONTH_USED], fields[NEXT_RESET] = new, 0, next_one
  -- Where the day of resets was changed, it began as the one before was told to end.
  local at = math.max(began, due)
  fields[MONTH_LENGTH] = math.floor((next_one - at) / MINUTE_MS)
  note(account, RESET, new - old, at, 0, '', later)
end

-- Gives an account its first balance, if it has none.
local function open_credits(rules, account, now)
  local fields = account.fields
  if fields[ANCHOR] > 0 then return end
  local began, next_one = month_of(rules, rules.is_calendar and 1 or rules.day_of_month)
  fields[ANCHOR], fields[NEXT_RESET] = rules.day_of_month, next_one
  fields[MONTH_LENGTH] = math.floor((next_one - began) / MINUTE_MS)
  fields[ALLOWANCE], fields[MONTHLY] = rules.allowance, rules.allowance
  if rules.allowance > 0 then note(account, RESET, rules.allowance, now, 0, '') end
end
