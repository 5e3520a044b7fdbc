#!lua flags=no-writes
--[[
  read_accounts: what some subjects may still use, at present: what has expired is taken off, and
  months that have begun are there, as if somebody had looked.

  KEYS     accounts
  ARGV[1]  {now_ms, rules as in include/context, subjects}
  Returns  flat, per subject that has an account: subject, balance, held, allowance, consumed this
           month and ever, next reset (0: it has no credits); packed
  Time     O(number of subjects, their grants and open holds)
]]
--@constants constants
--@constants account_fields
--@include read_record
--@include accounts
--@include bring_up
--@include open_account
--@include context

local ask = cmsgpack.unpack(ARGV[1])
local subjects, holders = ask[3], {}
local known = redis.call('HMGET', KEYS[1], unpack(subjects))
for i, subject in ipairs(subjects) do
  if known[i] then
    local n = #holders
    holders[n + 1], holders[n + 2], holders[n + 3] = subject, 1, 1
  end
end
local rows, n = {}, 0
if #holders > 0 then
  local context = new_context({accounts = KEYS[1]}, ask[1], ask[2], holders)
  for _, account in ipairs(context.accounts) do
    local fields = account.fields
    rows[n + 1], rows[n + 2], rows[n + 3] = account.subject, balance_of(fields), held_of(fields)
    rows[n + 4], rows[n + 5], rows[n + 6] = fields[ALLOWANCE], fields[MONTH_USED], fields[TOTAL_USED]
    rows[n + 7] = fields[ANCHOR] > 0 and fields[NEXT_RESET] or 0
    n = n + 7
  end
end
return cmsgpack.pack(rows)
