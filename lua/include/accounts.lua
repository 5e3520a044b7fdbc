local function balance_of(fields)
  local sum, grants = fields[MONTHLY], fields[GRANTS]
  for q = 1, #grants, 4 do sum = sum + grants[q + 1] end
  return sum
end

local function held_of(fields)
  local sum, holds = 0, fields[HOLDS]
  for q = 1, #holds, 4 do sum = sum + holds[q + 1] end
  return sum
end

-- Takes the entry of `width` values at q out of a flat list.
local function cut(list, q, width)
  for _ = 1, width do table.remove(list, q) end
end

-- Notes a line of the ledger, after the change, behind the others: type, change, balance, time,
-- change of what is held, place of the event or id of the grant or hold.
local function note(account, kind, change, time, held, reference)
  local lines = account.lines
  local n = #lines
  lines[n + 1], lines[n + 2], lines[n + 3] = kind, change, balance_of(account.fields)
  lines[n + 4], lines[n + 5], lines[n + 6] = time, held, reference
end

-- Takes credits: from the month's allowance, then from grants by priority and expiry; what none of
-- them has is owed. Returns nothing; the caller has judged.
local function charge(account, credits, time, reference)
  local fields = account.fields
  local left = credits - math.max(0, math.min(credits, fields[MONTHLY]))
  fields[MONTHLY] = fields[MONTHLY] - (credits - left)
  local grants = fields[GRANTS]
  while left > 0 and grants[1] do
    local part = math.min(left, grants[2])
    grants[2], left = grants[2] - part, left - part
    if grants[2] == 0 then cut(grants, 1, 4) end
  end
  fields[MONTHLY] = fields[MONTHLY] - left
  fields[MONTH_USED] = fields[MONTH_USED] + credits
  fields[TOTAL_USED] = fields[TOTAL_USED] + credits
  note(account, CHARGE, -credits, time, 0, reference)
end

-- When the month of an account with this anchor began, and when the next one does.
local function month_of(rules, anchor)
  return struct.unpack('>I6I6', rules.resets, (anchor - 1) * 12 + 1)
end

-- Sets the balance to the allowance for each reset that has come, and what rolls over; with what is
-- left of grants it stays within what is counted exactly.
local function reset(rules, account, began, next_one)
  local fields = account.fields
  local due, old, new = fields[NEXT_RESET], fields[MONTHLY], fields[MONTHLY]
  local room = MAX - (balance_of(fields) - old)
  local months = math.max(1, math.floor((began - due) / MONTH_MS + 0.5) + 1)
  for _ = 1, math.min(months, 1000) do
    new = math.min(room, fields[ALLOWANCE] + math.min(math.max(new, 0), rules.rollover))
  end
  fields[MONTHLY], fields[MONTH_USED], fields[NEXT_RESET] = new, 0, next_one
  note(account, RESET, new - old, math.max(began, due), 0, '')
end

-- Which of the holds or grants expires first, and when, of those that have by now.
local function first_expired(list, now)
  local place, first = nil, now + 1
  for q = 1, #list, 4 do
    local expires = list[q + 2]
    if expires > 0 and expires < first then place, first = q, expires end
  end
  return place, first
end

-- Brings an account to the present, in the order of time: what has expired, and the month that has
-- begun. Nothing of it is written unless a decision changes the account.
local function bring_up(rules, account, now)
  local fields = account.fields
  local holds, grants = fields[HOLDS], fields[GRANTS]
  if #holds == 0 and #grants == 0 and (fields[ANCHOR] == 0 or fields[NEXT_RESET] > now) then return end
  local began, next_one
  if fields[ANCHOR] > 0 and fields[NEXT_RESET] <= now then
    began, next_one = month_of(rules, rules.is_calendar and 1 or fields[ANCHOR])
  end
  while true do
    local h, freed = first_expired(holds, now)
    local g, expired = first_expired(grants, now)
    if began and math.max(began, fields[NEXT_RESET]) <= math.min(freed, expired) then
      reset(rules, account, began, next_one)
      began = nil
    elseif h and freed <= expired then
      local id, credits = holds[h], holds[h + 1]
      cut(holds, h, 4)
      if credits > 0 then note(account, FREED, 0, freed, -credits, id) end
    elseif g then
      local id, left = grants[g], grants[g + 1]
      cut(grants, g, 4)
      note(account, EXPIRY, -left, expired, 0, id)
    else
      return
    end
  end
end
