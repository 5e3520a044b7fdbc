-- Adds a grant, once by its id. EXTRA: id, expires (0: never), priority, the guest that it was meant for
-- ('' if it was not meant for one): what that one got before it became this user is not granted again.
local function grant(context, account, decision)
  local id, credits = decision[EXTRA], decision[CREDITS]
  local expires, priority = decision[EXTRA + 1], decision[EXTRA + 2]
  local function grant_of(subject)
    local name = struct.pack('>I2', #subject) .. subject .. id
    return context.grants[name] or redis.call('HGET', context.keys.grants, name), name
  end
  local value, former = cmsgpack.pack({credits, expires, priority}), decision[EXTRA + 3] or ''
  local old, name = grant_of(account.subject)
  if former ~= '' then old = grant_of(former) or old end
  if old then return taken(account, {old == value and REPEATED or CONFLICT}) end
  if expires > 0 and expires <= context.now then return {PAST} end
  local fields = account.fields
  if not (balance_of(fields) + credits <= MAX) then return {TOO_LARGE} end
  local has_returned = priority == LAST_PRIORITY or ends_with_returned(fields[GRANTS])
  if are_too_many(#fields[GRANTS] + ENTRY_WIDTH, has_returned) then return {TOO_MANY} end
  -- What is owed is paid first.
  local owed = math.min(credits, math.max(0, -fields[MONTHLY]))
  fields[MONTHLY] = fields[MONTHLY] + owed
  local left, grants, q = credits - owed, fields[GRANTS], 1
  local function is_before(p)
    if grants[p + ENTRY_PRIORITY] ~= priority then return grants[p + ENTRY_PRIORITY] < priority end
    local its = grants[p + ENTRY_EXPIRES]
    return its == expires or its > 0 and (expires == 0 or its < expires)
  end
  while grants[q] and is_before(q) do q = q + ENTRY_WIDTH end
  if left > 0 then
    for j, value_of in ipairs({id, left, expires, priority}) do table.insert(grants, q + j - 1, value_of) end
  end
  note(account, GRANT, credits, context.now, 0, id)
  context.grants[name], account.is_changed = value, true
  return taken(account, {OK})
end

-- Adds to what reversals gave back, which is taken last.
local function give_returned(fields, credits)
  local grants, n = fields[GRANTS], #fields[GRANTS]
  if ends_with_returned(grants) then
    local last = n - ENTRY_WIDTH + 1
    grants[last + ENTRY_CREDITS] = grants[last + ENTRY_CREDITS] + credits
  elseif credits > 0 then
    grants[n + 1], grants[n + 2], grants[n + 3], grants[n + 4] = 'reversals', credits, 0, LAST_PRIORITY
  end
end

-- Sets the monthly allowance; what is left of the month, and so the balance, changes by the
-- difference. What the month has spent beyond the new allowance comes from grants, as if it had been
-- spent so, before the month is owed anything.
local function set_allowance(context, account, decision)
  local fields, change = account.fields, decision[CREDITS] - account.fields[ALLOWANCE]
  if not (balance_of(fields) + change <= MAX and fields[MONTHLY] + change >= -MAX) then return {TOO_LARGE} end
  local left = fields[MONTHLY] + change
  if change < 0 and left < 0 then left = 0 - take_from_grants(fields, -left) end
  fields[ALLOWANCE], fields[MONTHLY] = decision[CREDITS], left
  if change ~= 0 then note(account, CORRECTION, change, context.now, 0, 'allowance') end
  account.is_changed = true
  return taken(account, {OK})
end

-- Gives the subject an amount of its own of a limit; below 0 takes it away again.
local function set_override(context, account, decision)
  local overrides, id = account.fields[OVERRIDES], context.limits[decision[LIMITS][1]][LIMIT_ID]
  for q = #overrides - 1, 1, -2 do
    if overrides[q] == id then cut(overrides, q, 2) end
  end
  drop_old_limits(context, overrides, 2)
  if decision[LIMITS][2] >= 0 then
    overrides[#overrides + 1], overrides[#overrides + 2] = id, decision[LIMITS][2]
  end
  account.is_changed = true
  return taken(account, {OK})
end
