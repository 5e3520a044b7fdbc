-- Fields of a key of the pool. BALANCE is '' while it is not known, HOLDER '' without one, USED_AT 0
-- before the first use, FAULT '' without one; times are ms since 1970.
local PROVIDER, NAME, STATE, BALANCE, HOLDER, USED_AT, FAULT, CREATED, DIGEST = 1, 2, 3, 4, 5, 6, 7, 8, 9
-- States of a key: 1 active, 2 dead, 3 out of credit.
local ACTIVE = 1
-- What the pool knows of a holder: keys received and first used, ever; then of those held now: how many,
-- how many of each state (at HELD + state), how many used, and the balances of the active ones.
local RECEIVED, FIRST_USES, HELD, HELD_USED, HELD_BALANCE = 1, 2, 3, 7, 8
-- What a provider's keys need more than to be handed out, until it is set.
local THRESHOLD = 800
local PROVIDERS_MAX = 100
-- How a script ended.
local MISSING, DONE, TOO_LARGE, TOO_MANY, FOREIGN, DAMAGED = 0, 1, 2, 3, 4, 5
