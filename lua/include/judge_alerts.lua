-- What an alert looks at: used, the most that may be, when its period ends (0: it has none). Nothing where
-- there is no limit, or no credits. Of a balance the most is what the month had so far.
local function measure(context, account, index)
  local fields = account.fields
  if index == 0 then
    if fields[ANCHOR] == 0 then return end
    return fields[MONTH_USED], balance_of(fields) + fields[MONTH_USED], fields[NEXT_RESET]
  end
  local limit = context.limits[index]
  local used, most = usage_of(account, limit, 0, context.now)
  if most >= 0 then return used, most, limit[LIMIT_KIND] == FIXED and limit[ENDS] or 0 end
end

-- Takes what was told of an account, as far as it stands before anything is decided.
local function open_told(context, account, packed, by_id)
  local told, old = {}, cmsgpack.unpack(packed)
  for q = 1, #old, TOLD_WIDTH do
    local alert, percent = by_id[old[q]], 0
    if alert then
      local used, most, period = measure(context, account, alert[ALERT_LIMIT])
      if used and period == old[q + TOLD_PERIOD] then
        percent = still_told(alert, old[q + TOLD_PERCENT], used, most)
      end
    end
    if percent > 0 then told[old[q]] = {old[q + TOLD_PERIOD], percent} end
    if percent ~= old[q + TOLD_PERCENT] then account.tells_anew = true end
  end
  return told
end

-- Tells what the alerts about a limit, or about the balance, have to say of an account.
local function judge_account(context, account, index, alerts, notices)
  local used, most, period = measure(context, account, index)
  if not used then return end
  for _, alert in ipairs(alerts) do
    if alert[ALERT_SUBJECT] == '' or alert[ALERT_SUBJECT] == account.subject then
      local told = account.told[alert[ALERT_ID]]
      local old = told and told[1] == period and told[2] or 0
      local new = tell(notices, alert, old, account.subject, used, most, context.now, period)
      if new ~= old then
        account.told[alert[ALERT_ID]], account.tells_anew = {period, new}, true
      end
    end
  end
end

-- Prepares the alerts of a batch, before its decisions change anything.
local function new_alerts(context, alerts)
  local by_id, watched, indexes, subjects, notices = {}, {}, {}, {}, {}
  for _, alert in ipairs(alerts) do
    local index = alert[ALERT_LIMIT]
    by_id[alert[ALERT_ID]] = alert
    if not watched[index] then watched[index], indexes[#indexes + 1] = {}, index end
    table.insert(watched[index], alert)
  end
  for i, account in ipairs(context.accounts) do subjects[i] = account.subject end
  local packed = #subjects > 0 and redis.call('HMGET', context.keys.told, unpack(subjects)) or {}
  for i, account in ipairs(context.accounts) do
    account.told = packed[i] and open_told(context, account, packed[i], by_id) or {}
  end
  -- Looks at all that is watched of the accounts that the decisions have changed: a limit may have been set lower,
  -- or be reached by a merge. Nothing is written yet.
  local function judge()
    for _, account in ipairs(context.accounts) do
      if account.is_changed and account.told then
        for _, index in ipairs(indexes) do judge_account(context, account, index, watched[index], notices) end
      end
    end
    check_notices(context.keys)
  end
  local function write()
    for _, account in ipairs(context.accounts) do
      local flat = {}
      if account.is_changed and account.tells_anew then
        for id, told in pairs(account.told) do
          flat[#flat + 1], flat[#flat + 2], flat[#flat + 3] = id, told[1], told[2]
        end
        if #flat == 0 then
          redis.call('HDEL', context.keys.told, account.subject)
        else
          redis.call('HSET', context.keys.told, account.subject, cmsgpack.pack(flat))
        end
      end
    end
    write_notices(context.keys, context.now, notices)
  end
  return {judge = judge, write = write}
end
