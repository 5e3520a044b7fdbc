-- The largest integer that Lua's doubles count exactly.
local MAX = 9007199254740991
-- A position in the log is one number: day of arrival * DAY_STRIDE + number within the day.
local DAY_STRIDE = 8589934592
-- Fields of a subject's record; from METERS on: meter, lifetime total, total of its day.
local FIRST, LAST, EVENTS, AT, DAY, DAY_EVENTS, METERS = 1, 2, 3, 4, 5, 6, 7
-- Long enough for any resending of a batch, which is over within seconds.
local MARKER_TTL_S = 600
