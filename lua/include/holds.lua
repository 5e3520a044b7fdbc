-- A hold: {subject, state, credits, {limit id, amount, ...}, created, expires, ended, where the event
-- is that settled it (its place in this batch, or a pointer to where it was counted; of one that is not
-- counted what include/settle_hold notes), {meter, amount, ...} and credits as they were asked for}. It is
-- expired when its time has come, whatever its state says: nothing has to run for that.
local function read_hold(context, id)
  local hold = context.holds[id]
  if hold == nil then
    local old = redis.call('HGET', context.keys.holds, id)
    hold = old and cmsgpack.unpack(old) or false
    context.holds[id] = hold
  end
  if hold and hold[HOLD_STATE] == OPEN and hold[HOLD_EXPIRES] <= context.now then
    hold[HOLD_STATE], hold[HOLD_ENDED] = EXPIRED, hold[HOLD_EXPIRES]
  end
  return hold
end

-- Whether a hold is of an account's subject, also one that had ended before its guest became this user.
local function is_of(context, hold, account)
  local subject = hold[HOLD_SUBJECT]
  return subject == account.subject or redis.call('HGET', context.keys.merged, subject) == account.subject
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

-- Sets credits and amounts aside. EXTRA: id, expires, {meter, amount, ...}. What is sent again is known
-- by what it asks for, and not by which limits that meets, or whether its subject is counted: both may have
-- changed since. An earlier build did not note credits that were asked for who is not counted.
local function open_hold(context, account, decision)
  local id, expires, asked = decision[EXTRA], decision[EXTRA + 1], decision[CREDITS]
  local old = read_hold(context, id)
  if old then
    local before = old[HOLD_ASKED_CREDITS] or old[HOLD_CREDITS]
    local is_unknown = not old[HOLD_ASKED_CREDITS] and before == 0 and #old[HOLD_AMOUNTS] == 0
    local is_same = is_of(context, old, account) and (before == asked or is_unknown)
      and cmsgpack.pack(old[HOLD_ASKED]) == cmsgpack.pack(decision[EXTRA + 2])
    return {is_same and REPEATED or CONFLICT, 0, 0, old[HOLD_STATE], old[HOLD_EXPIRES]}
  end
  if decision.takes_nothing then decision[CREDITS], decision[LIMITS] = 0, {} end
  local status, answer = judge(context, account, decision)
  if status ~= OK then return answer end
  local credits, amounts = decision[CREDITS], amounts_by_id(context, decision)
  local holds = account.fields[HOLDS]
  local n = #holds
  if n >= ENTRY_WIDTH * HOLDS_MAX then return {TOO_MANY} end
  holds[n + 1], holds[n + 2], holds[n + 3], holds[n + 4] = id, credits, expires, amounts
  if credits > 0 then note(account, HELD, 0, context.now, credits, id) end
  context.holds[id] =
    {account.subject, OPEN, credits, amounts, context.now, expires, 0, 0, decision[EXTRA + 2], asked}
  context.changed_holds[id] = true
  account.is_changed = true
  return taken(account, there_is_more(context, account, decision, answer))
end

-- Why a hold cannot be ended; nil when it is open and the subject's. EXTRA: id.
local function unfit_hold(context, account, decision)
  local hold = read_hold(context, decision[EXTRA])
  if not hold or not is_of(context, hold, account) then return {MISSING} end
  if hold[HOLD_STATE] ~= OPEN then return {ENDED, 0, 0, hold[HOLD_STATE], hold[HOLD_ENDED]} end
  local holds = account.fields[HOLDS]
  for q = 1, #holds, ENTRY_WIDTH do
    if holds[q] == decision[EXTRA] then return nil end
  end
  -- It had expired before the clock was set back.
  return {ENDED, 0, 0, EXPIRED, hold[HOLD_EXPIRES]}
end

-- Ends an open hold as `state`.
local function end_hold(context, account, id, state)
  local hold, holds = context.holds[id], account.fields[HOLDS]
  for q = 1, #holds, ENTRY_WIDTH do
    if holds[q] == id then
      cut(holds, q, ENTRY_WIDTH)
      break
    end
  end
  if hold[HOLD_CREDITS] > 0 then note(account, FREED, 0, context.now, -hold[HOLD_CREDITS], id) end
  hold[HOLD_STATE], hold[HOLD_ENDED] = state, context.now
  context.changed_holds[id] = true
  account.is_changed = true
end
