-- Fields of an account: what a subject may still use. Credits are micro-credits, times ms.
--   POSITION    of its last entry in the log, 0 for none
--   ANCHOR      day of the month on which it resets; 0 until it has credits
--   ALLOWANCE   per month; MONTHLY what is left of it (below 0: overdrawn)
--   GRANTS      flat {id, left, expires (0: never), priority}, in the order they are spent
--   HOLDS       flat {id, credits, expires, {limit id, amount, ...}}: the open ones
--   WINDOWS     flat {limit id, start, used}; rolling: {limit id, 0, {bucket, amount, ...}};
--               rate: {limit id, when, level in amount * ms}
--   OVERRIDES   flat {limit id, amount}: what this subject has instead of its class
--   MONTH_LENGTH minutes from when the month that runs began to NEXT_RESET: midnights are whole ones, and
--               take 6 bytes less than a time; nil where an earlier build began it
-- An empty list is kept as 0.
local POSITION, ANCHOR, ALLOWANCE, MONTHLY, MONTH_USED, TOTAL_USED, NEXT_RESET = 1, 2, 3, 4, 5, 6, 7
local GRANTS, HOLDS, WINDOWS, OVERRIDES, MONTH_LENGTH = 8, 9, 10, 11, 12
-- Of an entry of GRANTS and of HOLDS, behind its id.
local ENTRY_CREDITS, ENTRY_EXPIRES, ENTRY_PRIORITY, ENTRY_AMOUNTS, ENTRY_WIDTH = 1, 2, 3, 3, 4
-- Of an entry of WINDOWS, behind the limit's id.
local WINDOW_START, WINDOW_USED, WINDOW_WIDTH = 1, 2, 3
-- Of a hold: see include/holds.
local HOLD_SUBJECT, HOLD_STATE, HOLD_CREDITS, HOLD_AMOUNTS, HOLD_CREATED, HOLD_EXPIRES, HOLD_ENDED =
  1, 2, 3, 4, 5, 6, 7
local HOLD_EVENT, HOLD_ASKED, HOLD_ASKED_CREDITS = 8, 9, 10
-- Of a decision; then what its kind needs. ACCOUNT is 0 for that of the hold it is about.
local KIND, ACCOUNT, PLACE, TIME, CREDITS, LIMITS, EXTRA = 1, 2, 3, 4, 5, 6, 7
-- Of a limit in a batch's rules; a negative amount: no limit for the class.
local LIMIT_ID, LIMIT_KIND, STARTS, ENDS, CLASS_AMOUNTS, SPAN, BURST = 1, 2, 3, 4, 5, 6, 7
local FIXED, ROLLING, RATE, CONCURRENT = 1, 2, 3, 4
-- Lines of the ledger.
local RESET, GRANT, CHARGE, EXPIRY, CORRECTION, HELD, FREED = 1, 2, 3, 4, 5, 6, 7
-- Of the answer to a decision; then three values per limit.
local ANSWER_STATUS, ANSWER_BALANCE, ANSWER_HELD, ANSWER_HEAD = 1, 2, 3, 3
-- The kind of decision that merges a guest into a user.
local MERGE = 13
-- How a decision came out; 1 to 3 are sums of what was violated.
local OK, LIMIT_HIT, CREDITS_HIT, MISSING, ENDED, CONFLICT, TOO_LARGE, REPEATED, SKIPPED, EXCEEDS, TOO_MANY, COUNTED, CHANGED,
  PAST, ERASING = 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
-- The most open holds, and grants with something left, of one subject: each change writes them all.
local HOLDS_MAX, GRANTS_MAX = 1000, 200
-- States of a hold.
local OPEN, SETTLED, RELEASED, EXPIRED = 1, 2, 3, 4
local MINUTE_MS = 60000
