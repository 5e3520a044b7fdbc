--@include move_windows
local function move_holds(context, user, guest)
  local holds, mine = guest.fields[HOLDS], user.fields[HOLDS]
  guest.fields[HOLDS] = {}
  for q = 1, #holds, ENTRY_WIDTH do
    local id, credits, n = holds[q], holds[q + ENTRY_CREDITS], #mine
    if credits > 0 then note(guest, FREED, 0, context.now, -credits, id) end
    for j = 0, ENTRY_WIDTH - 1 do mine[n + 1 + j] = holds[q + j] end
    if credits > 0 then note(user, HELD, 0, context.now, credits, id) end
    local hold = read_hold(context, id)
    if hold then hold[HOLD_SUBJECT], context.changed_holds[id] = user.subject, true end
  end
end

-- What is left of grants goes over, each under its id or, if the user was granted that id, behind the
-- guest's; what reversals gave back is added to the user's; what is owed goes over, too. What is left of a
-- guest's own allowance ends.
local function move_credits(context, user, guest)
  local its, mine = guest.fields, user.fields
  local before, grants, owed = balance_of(its), its[GRANTS], math.min(0, its[MONTHLY])
  if its[ANCHOR] > 0 or #grants > 0 then open_credits(context.rules, user, context.now) end
  mine[MONTH_USED], mine[TOTAL_USED] =
    math.min(MAX, mine[MONTH_USED] + its[MONTH_USED]), mine[TOTAL_USED] + its[TOTAL_USED]
  its[GRANTS], its[MONTHLY], its[ALLOWANCE], its[MONTH_USED], its[TOTAL_USED] = {}, 0, 0, 0, 0
  if before ~= 0 then note(guest, CORRECTION, -before, context.now, 0, 'merge') end
  local returned, last = 0, #grants - ENTRY_WIDTH + 1
  if ends_with_returned(grants) then
    returned = grants[last + ENTRY_CREDITS]
    cut(grants, last, ENTRY_WIDTH)
  end
  for q = 1, #grants, ENTRY_WIDTH do
    local id = grants[q]
    repeat
      local answer = grant(context, user, {
        0, 0, 0, 0, grants[q + ENTRY_CREDITS], {}, id, grants[q + ENTRY_EXPIRES], grants[q + ENTRY_PRIORITY],
      })
      id = guest.subject .. '/' .. id
    until answer[ANSWER_STATUS] ~= CONFLICT and answer[ANSWER_STATUS] ~= REPEATED
  end
  if returned > 0 then
    -- What is owed is paid first, as by a grant.
    local paid = math.min(returned, math.max(0, -mine[MONTHLY]))
    mine[MONTHLY] = mine[MONTHLY] + paid
    give_returned(mine, returned - paid)
    note(user, CORRECTION, returned, context.now, 0, 'merge')
  end
  if owed < 0 then
    -- Paid as what is charged: else it would be owed while there are grants, and a reset forgive it.
    local of_month = math.max(0, math.min(-owed, mine[MONTHLY]))
    mine[MONTHLY] = mine[MONTHLY] - of_month - take_from_grants(mine, -owed - of_month)
    note(user, CORRECTION, owed, context.now, 0, 'merge')
  end
end

-- Makes all that a guest has the user's, once. The events of the batch move what it has used; they do not
-- count if anything is refused. EXTRA: the guest's account; position of its last entry and number of
-- its events, by which these were made; how many events the batch has; 1 if they move a part of its days
-- only: the account goes over with the last part; 2 if they are a part of an erasure, which takes out the
-- days' entries itself.
local function merge_guest(context, user, decision)
  local call, keys, guest = redis.call, context.keys, context.accounts[decision[EXTRA]]
  local function refuse(status)
    for place = 1, decision[EXTRA + 3] do context.gone[place] = '' end
    return taken(user, {status})
  end
  local merged = call('HGET', keys.merged, guest.subject)
  if merged then return refuse(merged == user.subject and REPEATED or CONFLICT) end
  local record = call('HGET', keys.subjects, guest.subject)
  local at, events = 0, 0
  if record then
    record = read_record(record)
    at, events = record[AT], record[EVENTS]
  end
  if at ~= decision[EXTRA + 1] or events ~= decision[EXTRA + 2] then return refuse(CHANGED) end
  if decision[EXTRA + 4] == 2 then return taken(user, {OK}) end
  context.leaving = guest.subject
  if decision[EXTRA + 4] == 1 then return taken(user, {OK}) end
  local mine, its = user.fields, guest.fields
  local grants = #its[GRANTS] - (ends_with_returned(its[GRANTS]) and ENTRY_WIDTH or 0)
  if #its[HOLDS] > 0 and #mine[HOLDS] + #its[HOLDS] > ENTRY_WIDTH * HOLDS_MAX
    or grants > 0 and are_too_many(#mine[GRANTS] + grants, ends_with_returned(mine[GRANTS])) then return refuse(TOO_MANY) end
  if not (mine[TOTAL_USED] + its[TOTAL_USED] <= MAX and balance_of(mine) + balance_of(its) + context.rules.allowance <= MAX
    and held_of(mine) + held_of(its) <= MAX and mine[MONTHLY] + its[MONTHLY] >= -MAX
    and can_move_windows(context, user, guest)) then
    return refuse(TOO_LARGE)
  end
  if guest.is_kept then
    move_credits(context, user, guest)
    move_holds(context, user, guest)
    move_windows(context, user, guest)
    its[WINDOWS], its[OVERRIDES] = {}, {}
    guest.is_changed, user.is_changed = true, true
  end
  context.merged = {guest.subject, user.subject, at}
  return taken(user, {OK})
end
