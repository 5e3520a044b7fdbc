local function look(_, account)
  return {OK, balance_of(account.fields), held_of(account.fields), cmsgpack.pack(account.fields),
    cmsgpack.pack(account.lines or {})}
end

-- Takes what is asked if all of it may be taken, else nothing.
local function use_if_allowed(context, account, decision)
  local status, answer = judge(context, account, decision)
  if status ~= OK then return answer end
  answer[ANSWER_STATUS] = take(context, account, decision, decision[PLACE])
  return taken(account, there_is_more(context, account, decision, answer))
end

local function check(context, account, decision)
  local _, answer = judge(context, account, decision)
  return answer
end

local function release(context, account, decision)
  local unfit = unfit_hold(context, account, decision)
  if unfit then return unfit end
  end_hold(context, account, decision[EXTRA], RELEASED)
  return taken(account, {OK})
end

local USE, CHECK, CONSUME, OPEN_HOLD, COMMIT = 1, 3, 4, 5, 6

-- What is asked for somebody who is not counted: it is judged, but nothing is taken or set aside.
local function without_taking(decision, kind)
  if kind == CONSUME then return CHECK end
  decision.takes_nothing = kind == OPEN_HOLD
  return kind
end

-- By kind, as Sources/Metering/Decide/BatchDecision.swift numbers them; `use` is done in place.
local KINDS = {
  false, use_if_allowed, check, use_if_allowed, open_hold, commit_hold, release, grant, set_allowance,
  set_override, look, undo,
  function(context, account, decision) return code_of_merging()(context, account, decision) end,
}

-- Takes the batch's decisions in their order. Returns their answers one behind the other, each with
-- its length before it, and notes in `gone` the events that do not count, by place.
local function decide(context, decisions, gone, uncounted, ids, places)
  local answers, n = {}, 0
  context.gone, context.ids, context.places = gone, ids, places
  for _, decision in ipairs(decisions) do
    local account, place, kind = context.accounts[decision[ACCOUNT]], decision[PLACE], decision[KIND]
    local answer, status
    if not account then account = account_of_hold(context, decision[EXTRA]) end
    if account and uncounted[account.subject] then kind = without_taking(decision, kind) end
    if not account then
      answer = {MISSING}
    elseif place > 0 and gone[place] and #gone[place] == 1 then
      -- Its subject is not counted.
      status, answer = SKIPPED, kind == COMMIT and settle_uncounted(context, account, decision)
    elseif place > 0 and gone[place] then
      -- Counted before.
      status, answer = SKIPPED, kind == COMMIT and commit_again(context, account, decision, gone[place])
    elseif kind == USE then
      status = take(context, account, decision, place)
      if status ~= OK then gone[place] = '' end
    else
      answer = KINDS[kind](context, account, decision)
      if place > 0 and answer[ANSWER_STATUS] ~= OK and not gone[place] then gone[place] = '' end
    end
    if answer then
      answers[n + 1], n = #answer, n + 1
      for i = 1, #answer do answers[n + i] = answer[i] end
      n = n + #answer
    else
      local fields = account.fields
      answers[n + 1], answers[n + 2], answers[n + 3] = 3, status, balance_of(fields)
      answers[n + 4], n = held_of(fields), n + 4
    end
  end
  return answers
end
