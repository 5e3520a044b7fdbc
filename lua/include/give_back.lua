--@constants erasure_fields
-- Whether an event must not be undone for a subject now: what an erasure has moved is the anonymous subject's,
-- while the log names the subject until it is rewritten. `rewrites`: how many erasures were done with the log
-- when the event was looked for there; if there are more by now, it may have named somebody else since.
local function is_being_erased(context, subject, origin, rewrites)
  local call, keys = redis.call, context.keys
  local at = struct.unpack('>I7', origin)
  local day, number = math.floor(at / DAY_STRIDE), at % DAY_STRIDE
  local done = call('ZCARD', keys.all_erasures)
  for _, id in ipairs(call('SMEMBERS', keys.open_erasures)) do
    local packed = call('HGET', keys.erasures, id)
    local erasure = packed and cmsgpack.unpack(packed) or {ERASURE_DONE}
    local step = erasure[ERASURE_STEP]
    if step <= ERASURE_LOG then done = done - 1 end
    local is_meant = step == ERASURE_USAGE
    if step == ERASURE_LOG then
      -- What came behind the cut is of somebody new.
      local cut = erasure[ERASURE_CUT]
      is_meant = day < cut[1] or number <= (cut[day - cut[1] + 2] or 0)
    end
    for _, name in ipairs(is_meant and erasure[ERASURE_NAMES] or {}) do
      if name == subject then return true end
    end
  end
  return done ~= rewrites
end

-- Gives back what an event took, once: CREDITS and the amounts of LIMITS. EXTRA: where it was
-- counted, when its credits were taken, how many erasures were done with the log when it was looked for.
local function give_back(context, account, decision)
  local origin = decision[EXTRA]
  if context.reversed[origin] or redis.call('HEXISTS', context.keys.reversed, origin) == 1 then
    return {REPEATED}
  end
  if is_being_erased(context, account.subject, origin, decision[EXTRA + 2]) then return {ERASING} end
  local fields, credits, limits = account.fields, decision[CREDITS], decision[LIMITS]
  if not (balance_of(fields) + credits <= MAX) then return {TOO_LARGE} end
  if credits > 0 then
    -- To the month as far as its allowance goes; the rest may have come from grants, so that no
    -- reset may take it.
    local to_month = math.min(credits, math.max(0, fields[ALLOWANCE] - fields[MONTHLY]))
    fields[MONTHLY], fields[TOTAL_USED] = fields[MONTHLY] + to_month, fields[TOTAL_USED] - credits
    give_returned(fields, credits - to_month)
    local length = fields[MONTH_LENGTH]
    local began = length and fields[NEXT_RESET] - length * MINUTE_MS
      or month_of(context.rules, math.max(1, fields[ANCHOR]))
    -- A merged guest's month may have begun on another day: one that consumed less did not consume this.
    if decision[EXTRA + 1] >= began and fields[MONTH_USED] >= credits then
      fields[MONTH_USED] = fields[MONTH_USED] - credits
    end
    note(account, CORRECTION, credits, context.now, 0, decision[PLACE])
    account.is_changed = true
  end
  for q = 1, #limits, 2 do
    use_limit(context, account, context.limits[limits[q]], -limits[q + 1], decision[TIME])
  end
  context.reversed[origin] = true
  return taken(account, {OK})
end
