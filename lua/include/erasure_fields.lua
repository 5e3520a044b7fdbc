-- Fields of an erasure: how far it is; the anonymous subject; when it was asked for; when the subject was
-- taken out or, at the end, all was done (ms, 0: not yet); SHA-256 of its id and the subject's; while it is
-- under way the subject with its guests, and what else tells who it is; where the logs ended when it was
-- taken out {first day, number of the last entry per day}; counts of what was removed; events that are kept;
-- flat {meter, total} of what is kept; what became of the append-only file; a problem; whether the subject was in demo mode (1).
local ERASURE_STEP, ERASURE_ANONYMOUS, ERASURE_ENDED, ERASURE_NAMES, ERASURE_CUT, ERASURE_REMOVED =
  1, 2, 4, 6, 8, 9
-- The step in which what it used is moved; the one from which on what is counted under the name is somebody else's.
local ERASURE_USAGE, ERASURE_LOG = 2, 3
local ERASURE_DONE = 7
-- Of these counts, from 1 on.
local REMOVED_API_KEYS, REMOVED_GUESTS, REMOVED_ACCOUNTS, REMOVED_GRANTS, REMOVED_DAYS = 2, 4, 5, 6, 11
