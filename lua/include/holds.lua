-- A hold: {subject, state, credits, {limit id, amount, ...}, created, expires, ended}. It is
-- expired when its time has come, whatever its state says: nothing has to run for that.
local function read_hold(context, id)
  local hold = context.holds[id]
  if hold == nil then
    local old = redis.call('HGET', context.keys.holds, id)
    hold = old and cmsgpack.unpack(old) or false
    context.holds[id] = hold
  end
  if hold and hold[2] == OPEN and hold[6] <= context.now then hold[2], hold[7] = EXPIRED, hold[6] end
  return hold
end

local function amounts_by_id(context, decision)
  local amounts, limits = {}, decision[LIMITS]
  for q = 1, #limits, 2 do
    if limits[q + 1] > 0 then
      amounts[#amounts + 1] = context.limits[limits[q]][LIMIT_ID]
      amounts[#amounts + 1] = limits[q + 1]
    end
  end
  return amounts
end

-- Sets credits and amounts aside. EXTRA: id, expires.
local function open_hold(context, account, decision)
  local id, expires = decision[EXTRA], decision[EXTRA + 1]
  local old = read_hold(context, id)
  if old then
    local is_same = old[1] == account.subject and old[3] == decision[CREDITS]
      and cmsgpack.pack(old[4]) == cmsgpack.pack(amounts_by_id(context, decision))
    return {is_same and REPEATED or CONFLICT, 0, 0, old[2], old[6]}
  end
  local status, answer = judge(context, account, decision)
  if status ~= OK then return answer end
  local credits, amounts = decision[CREDITS], amounts_by_id(context, decision)
  if not (answer[3] + credits <= MAX) then return {TOO_LARGE} end
  local holds = account.fields[HOLDS]
  local n = #holds
  holds[n + 1], holds[n + 2], holds[n + 3], holds[n + 4] = id, credits, expires, amounts
  if credits > 0 then note(account, HELD, 0, context.now, credits, id) end
  context.holds[id] = {account.subject, OPEN, credits, amounts, context.now, expires, 0}
  context.changed_holds[id] = true
  account.is_changed = true
  return taken(account, answer)
end

-- Why a hold cannot be ended; nil when it is open and the subject's. EXTRA: id.
local function unfit_hold(context, account, decision)
  local hold = read_hold(context, decision[EXTRA])
  if not hold or hold[1] ~= account.subject then return {MISSING} end
  if hold[2] ~= OPEN then return {ENDED, 0, 0, hold[2], hold[7]} end
end

-- Ends an open hold as `state`.
local function end_hold(context, account, id, state)
  local hold, holds = context.holds[id], account.fields[HOLDS]
  for q = 1, #holds, 4 do
    if holds[q] == id then
      cut(holds, q, 4)
      break
    end
  end
  if hold[3] > 0 then note(account, FREED, 0, context.now, -hold[3], id) end
  hold[2], hold[7] = state, context.now
  context.changed_holds[id] = true
  account.is_changed = true
end

-- Whether a decision asks for more than its hold has set aside.
local function exceeds(context, hold, decision)
  if decision[CREDITS] > hold[3] then return true end
  local limits = decision[LIMITS]
  for q = 1, #limits, 2 do
    local id, kept = context.limits[limits[q]][LIMIT_ID], 0
    for j = 1, #hold[4], 2 do
      if hold[4][j] == id then kept = kept + hold[4][j + 1] end
    end
    -- What was never held is not the hold's business: it counts as any event does.
    if kept > 0 and limits[q + 1] > kept then return true end
  end
  return false
end

-- Settles a hold with an event. EXTRA: id, 1 if it may not exceed what is held.
local function commit_hold(context, account, decision)
  local id = decision[EXTRA]
  local unfit = unfit_hold(context, account, decision)
  if unfit then return unfit end
  if decision[EXTRA + 1] == 1 and exceeds(context, context.holds[id], decision) then return {EXCEEDS} end
  local fields = account.fields
  local credits = decision[CREDITS]
  if not (fields[TOTAL_USED] + credits <= MAX and fields[MONTHLY] - credits >= -MAX) then
    return {TOO_LARGE}
  end
  end_hold(context, account, id, SETTLED)
  local status = take(context, account, decision, decision[PLACE])
  return taken(account, {status})
end
