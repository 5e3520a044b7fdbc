-- What decisions need: the rules in force and the accounts of their subjects, at present.
-- rules: {limits, resets, 1 if months are those of the calendar, day of the month, allowance of new
-- accounts, most that rolls over, least balance, alerts if there are any}; holders: flat {subject, class, 1 if credits are
-- asked about}.
local function new_context(keys, now, rules, holders)
  local context = {
    keys = keys, now = now, limits = rules[1], accounts = {}, grants = {}, holds = {}, reversed = {},
    changed_holds = {},
    rules = {
      resets = rules[2], is_calendar = rules[3] == 1, day_of_month = rules[4],
      allowance = rules[5], rollover = rules[6], floor = rules[7],
    },
  }
  local subjects = {}
  for q = 1, #holders, 3 do subjects[#subjects + 1] = holders[q] end
  local old = #subjects > 0 and redis.call('HMGET', keys.accounts, unpack(subjects)) or {}
  for i, subject in ipairs(subjects) do
    local account = open_account(context, subject, holders[3 * i - 1], old[i])
    if holders[3 * i] == 1 and not is_left(keys, account) then open_credits(context.rules, account, now) end
  end
  return context
end

-- The lines that the decisions add to the ledger: {subject, position of its lines before, lines,
-- ...}; '' for none.
local function ledger_of(context)
  local ledger, n = {}, 0
  for _, account in ipairs(context.accounts) do
    if account.is_changed and account.lines then
      ledger[n + 1], ledger[n + 2], ledger[n + 3] = account.subject, account.fields[POSITION], account.lines
      account.has_lines, n = true, n + 3
    end
  end
  return n > 0 and cmsgpack.pack(ledger) or ''
end

-- Whether a decision changed anything. Reads what will be written and was not read: a wrong type
-- fails here, before the first write.
local function is_changed(context)
  local changed = next(context.reversed) ~= nil
  for _, account in ipairs(context.accounts) do changed = changed or account.is_changed end
  if next(context.changed_holds) then
    redis.call('ZCARD', context.keys.open_holds)
    redis.call('ZCARD', context.keys.ended_holds)
  end
  if changed and context.alerts then context.alerts.judge() end
  if context.merged then context.merges = redis.call('HGET', context.keys.merges, context.merged[2]) or '\144' end
  return changed or context.merged ~= nil
end

-- Notes a merge, and where the user's history goes on in the guest's.
local function write_merge(context, at)
  local guest, user, last = unpack(context.merged)
  redis.call('HSET', context.keys.merged, guest, user)
  if last == 0 then return end
  local merges = cmsgpack.unpack(context.merges)
  local n = #merges
  merges[n + 1], merges[n + 2], merges[n + 3] = guest, last, at
  redis.call('HSET', context.keys.merges, user, cmsgpack.pack(merges))
end

local function write_decisions(context, at)
  local call, pack, writes, w = redis.call, cmsgpack.pack, {}, 0
  if context.merged then write_merge(context, at) end
  for _, account in ipairs(context.accounts) do
    if account.is_changed then
      local fields = account.fields
      if account.has_lines then fields[POSITION] = at end
      for q = GRANTS, OVERRIDES do
        if #fields[q] == 0 then fields[q] = 0 end
      end
      writes[w + 1], writes[w + 2], w = account.subject, pack(fields), w + 2
    end
  end
  if w > 0 then call('HSET', context.keys.accounts, unpack(writes)) end
  for name, value in pairs(context.grants) do call('HSET', context.keys.grants, name, value) end
  for origin in pairs(context.reversed) do
    call('HSET', context.keys.reversed, origin, string.format('%.0f', at))
  end
  for id in pairs(context.changed_holds) do
    local hold = context.holds[id]
    local event = hold[HOLD_EVENT]
    if type(event) == 'number' and event > 0 then
      hold[HOLD_EVENT] = struct.pack('>I7', at) .. struct.pack('>I2', event)
    end
    call('HSET', context.keys.holds, id, pack(hold))
    if hold[HOLD_STATE] == OPEN then
      call('ZADD', context.keys.open_holds, hold[HOLD_EXPIRES], id)
    else
      call('ZREM', context.keys.open_holds, id)
      call('ZADD', context.keys.ended_holds, hold[HOLD_ENDED], id)
    end
  end
  if context.alerts then context.alerts.write() end
end
