local function look(_, account)
  return {OK, balance_of(account.fields), held_of(account.fields), cmsgpack.pack(account.fields),
    cmsgpack.pack(account.lines)}
end

local function use(context, account, decision)
  return taken(account, {take(context, account, decision, decision[PLACE])})
end

-- Takes what is asked if all of it may be taken, else nothing.
local function use_if_allowed(context, account, decision)
  local status, answer = judge(context, account, decision)
  if status ~= OK then return answer end
  answer[1] = take(context, account, decision, decision[PLACE])
  return taken(account, answer)
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

-- By kind, as Sources/Metering/Decide/Decision.swift numbers them.
local COMMIT = 6
local KINDS = {
  use, use_if_allowed, check, use_if_allowed, open_hold, commit_hold, release, grant, set_allowance,
  set_override, look, give_back,
}

-- Takes the batch's decisions in their order. Returns their answers, and notes in `gone` the events
-- that do not count, by place.
local function decide(context, decisions, gone)
  local answers = {}
  for i, decision in ipairs(decisions) do
    local account, place = context.accounts[decision[ACCOUNT]], decision[PLACE]
    if place > 0 and gone[place] then
      -- Counted before. A hold says all the same what it is, since it ends once.
      answers[i] = decision[KIND] == COMMIT and unfit_hold(context, account, decision) or {SKIPPED, balance_of(account.fields), held_of(account.fields)}
    else
      answers[i] = KINDS[decision[KIND]](context, account, decision)
      if place > 0 and answers[i][1] ~= OK then gone[place] = '' end
    end
  end
  return answers
end
