-- Brings an account, as it is kept, to the present.
local function open_account(context, subject, class, old)
  local fields = old and read_record(old) or {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
  for q = GRANTS, OVERRIDES do
    if fields[q] == 0 then fields[q] = {} end
  end
  local account = {subject = subject, class = class, fields = fields, is_kept = old and true}
  bring_up(context.rules, account, context.now)
  context.accounts[#context.accounts + 1] = account
  return account
end

-- The account of the subject that a hold is of; nil if there is no such hold. Its class is not known:
-- nothing is judged for who only gives back.
local function account_of_hold(context, id)
  local hold = read_hold(context, id)
  if not hold then return nil end
  local known = context.by_subject
  if not known then
    known = {}
    for _, account in ipairs(context.accounts) do known[account.subject] = account end
    context.by_subject = known
  end
  local subject = hold[HOLD_SUBJECT]
  if not known[subject] then
    local old = redis.call('HGET', context.keys.accounts, subject)
    known[subject] = open_account(context, subject, nil, old)
  end
  return known[subject]
end

-- Whether an account without credits is that of a guest who has become a user: it may be looked at, but gets no
-- first balance any more.
local function is_left(keys, account)
  return account.fields[ANCHOR] == 0 and string.sub(account.subject, 1, 6) == 'guest:' and keys.merged
    and redis.call('HEXISTS', keys.merged, account.subject) == 1
end
