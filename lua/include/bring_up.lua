-- Takes what has expired out of a flat list of holds or grants, in one pass, and adds it to `due` as
-- {when, id, credits, kind: type of its line}.
local function take_expired(list, now, due, kind)
  local kept = 0
  for q = 1, #list, ENTRY_WIDTH do
    local expires = list[q + ENTRY_EXPIRES]
    if expires > 0 and expires <= now then
      due[#due + 1] = {when = expires, id = list[q], credits = list[q + ENTRY_CREDITS], kind = kind}
    else
      for j = 0, ENTRY_WIDTH - 1 do list[kept + 1 + j] = list[q + j] end
      kept = kept + ENTRY_WIDTH
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
    local anchor = rules.is_calendar and 1 or fields[ANCHOR]
    local began, next_one = month_of(rules, anchor)
    due[#due + 1] = {
      when = math.max(began, fields[NEXT_RESET]), id = '', credits = 0, kind = RESET,
      anchor = anchor, began = began, next_one = next_one,
    }
  end
  -- Of what is due at the same time a reset comes first, then holds.
  local order = {[RESET] = 1, [FREED] = 2, [EXPIRY] = 3}
  table.sort(due, function(a, b)
    if a.when ~= b.when then return a.when < b.when end
    if a.kind ~= b.kind then return order[a.kind] < order[b.kind] end
    return a.id < b.id
  end)
  -- What grants that expire later still have is part of the balance of the lines before.
  local later = left - balance_of(fields)
  for _, event in ipairs(due) do
    local time, id, credits, kind = event.when, event.id, event.credits, event.kind
    if kind == RESET then
      reset(rules, account, event.anchor, event.began, event.next_one, later)
    elseif kind == FREED then
      if credits > 0 then note(account, FREED, 0, time, -credits, id, later) end
    else
      later = later - credits
      note(account, EXPIRY, -credits, time, 0, id, later)
    end
  end
end
