-- What a hold says to an event that was counted before: nothing, if this event settled it and the
-- same commit is sent again.
local function commit_again(context, account, decision, pointer)
  local unfit = unfit_hold(context, account, decision)
  local hold = context.holds[decision[EXTRA]] or {}
  if not unfit then return {COUNTED, 0, 0, OPEN, hold[HOLD_EXPIRES]} end
  return hold[HOLD_EVENT] ~= pointer and unfit or nil
end

-- What a hold notes of an event that settled it and is not counted: why, a letter, and its id as the batch has
-- it; 0 for one without.
local function note_of(context, place, why)
  for i, named in ipairs(context.places) do
    if named == place then return why .. context.ids[i] end
  end
  return 0
end

-- Why a commit cannot settle its hold; nil when it can. One that did with an event that was not counted is
-- answered as it was, whether the subject is counted by now or not.
local function unfit_commit(context, account, decision)
  local unfit = unfit_hold(context, account, decision)
  if not unfit or unfit[ANSWER_STATUS] ~= ENDED then return unfit end
  local place = decision[PLACE]
  local why = string.match(context.holds[decision[EXTRA]][HOLD_EVENT], '^%l')
  if why and context.holds[decision[EXTRA]][HOLD_EVENT] == note_of(context, place, why) then
    context.gone[place] = why
    return taken(account, {SKIPPED})
  end
  return unfit
end

-- Whether an event takes more credits than its hold has set aside, or more of a meter than it was asked for,
-- by whatever limits, if any. Of other meters nothing was held: they are not the hold's business.
local function exceeds(hold, decision)
  if decision[CREDITS] > hold[HOLD_CREDITS] then return true end
  local taken_of, amounts, asked = {}, decision[EXTRA + 3], hold[HOLD_ASKED] or {}
  for q = 1, #amounts, 2 do taken_of[amounts[q]] = amounts[q + 1] end
  for q = 1, #asked, 2 do
    if (taken_of[asked[q]] or 0) > asked[q + 1] then return true end
  end
  return false
end

-- Settles a hold with an event. EXTRA: id, 1 if it may not exceed what is held, what its credits were
-- cut down to as what is held (below 0: they were not), {meter, amount, ...} of the event if it may not exceed. What
-- is held was read before: if the hold was forgotten since, and its id taken for another one, the hold that was
-- meant is not there any more.
local function commit_hold(context, account, decision)
  local id = decision[EXTRA]
  local unfit = unfit_commit(context, account, decision)
  if unfit then return unfit end
  local capped = decision[EXTRA + 2]
  if capped >= 0 and capped ~= context.holds[id][HOLD_CREDITS] then return {MISSING} end
  if decision[EXTRA + 1] == 1 and exceeds(context.holds[id], decision) then return {EXCEEDS} end
  local fields = account.fields
  local credits = decision[CREDITS]
  -- A grant may have expired under the hold.
  if decision[EXTRA + 1] == 1 and credits > 0
    and not (balance_of(fields) - credits >= context.rules.floor) then
    return taken(account, {CREDITS_HIT})
  end
  if not can_take(context, account, decision) then return {TOO_LARGE} end
  end_hold(context, account, id, SETTLED)
  context.holds[id][HOLD_EVENT] = decision[PLACE]
  local status = take(context, account, decision, decision[PLACE])
  return taken(account, {status})
end

-- Settles a hold with an event that does not count: what it has set aside is free again.
local function settle_uncounted(context, account, decision)
  local unfit = unfit_commit(context, account, decision)
  if unfit then return unfit end
  local id, place = decision[EXTRA], decision[PLACE]
  end_hold(context, account, id, SETTLED)
  context.holds[id][HOLD_EVENT] = note_of(context, place, context.gone[place])
  return taken(account, {SKIPPED})
end
