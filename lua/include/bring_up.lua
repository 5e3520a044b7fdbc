-- Takes what has expired out of a flat list of holds or grants, in one pass, and adds it to `due` as
-- {when, id, credits, type of its line}.
local function take_expired(list, now, due, kind)
  local kept = 0
  for q = 1, #list, 4 do
    local expires = list[q + 2]
    if expires > 0 and expires <= now then
      due[#due + 1] = {expires, list[q], list[q + 1], kind}
    else
      for j = 0, 3 do list[kept + 1 + j] = list[q + j] end
      kept = kept + 4
    end
  end
  for q = #list, kept + 1, -1 do list[q] = nil end
end

-- Brings an account to the present, in the order of time: what has expired, and the month that has
-- begun. Nothing of it is written unless a decision changes the account.
local function bring_up(rules, account, now)
  local fields = account.fields
  local holds, grants, due = fields[HOLDS], fields[GRANTS], {}
  local is_reset = fields[ANCHOR] > 0 and fields[NEXT_RESET] <= now
  if #holds == 0 and #grants == 0 and not is_reset then return end
  take_expired(holds, now, due, FREED)
  local left = balance_of(fields)
  take_expired(grants, now, due, EXPIRY)
  if is_reset then
    local began, next_one = month_of(rules, rules.is_calendar and 1 or fields[ANCHOR])
    due[#due + 1] = {math.max(began, fields[NEXT_RESET]), '', 0, RESET, began, next_one}
  end
  -- Of what is due at the same time a reset comes first, then holds.
  local order = {[RESET] = 1, [FREED] = 2, [EXPIRY] = 3}
  table.sort(due, function(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    if a[4] ~= b[4] then return order[a[4]] < order[b[4]] end
    return a[2] < b[2]
  end)
  -- What grants that expire later still have is part of the balance of the lines before.
  local later = left - balance_of(fields)
  for _, event in ipairs(due) do
    local time, id, credits, kind = event[1], event[2], event[3], event[4]
    if kind == RESET then
      reset(rules, account, event[5], event[6], later)
    elseif kind == FREED then
      if credits > 0 then note(account, FREED, 0, time, -credits, id, later) end
    else
      later = later - credits
      note(account, EXPIRY, -credits, time, 0, id, later)
    end
  end
end
