-- The largest integer that Lua's doubles count exactly.
local MAX = 9007199254740991
-- A cell of a day with more than this is looked at together with the others of its day.
local LARGE = 1099511627776
-- A position in the log is one number: day of arrival * DAY_STRIDE + number within the day.
local DAY_STRIDE = 8589934592
-- Fields of a subject's record; from METERS on: meter, lifetime total, total of its day. DAY_FIRST and
-- DAY_LAST are the times of its first and last event of that day, in ms from 00:00 UTC of its date.
local FIRST, LAST, EVENTS, AT, DAY, DAY_EVENTS, DAY_FIRST, DAY_LAST, METERS = 1, 2, 3, 4, 5, 6, 7, 8, 9
-- Of an entry of `use`; from USE_METERS on: meter, amount.
local USE_EVENTS, USE_FIRST, USE_LAST, USE_METERS = 1, 2, 3, 4
-- What stands for these times while there was no event.
local NO_FIRST, NO_LAST = 2147483647, -2147483648
local DAY_MS = 86400000
-- What stands where in a row and in a cell of a batch, behind its start; then the amounts.
local ROW_SET, ROW_COUNT, ROW_FIRST, ROW_LAST, ROW_WIDTH = 2, 3, 4, 5, 6
local CELL_SET, CELL_COUNT, CELL_WIDTH = 3, 4, 5
-- Which of the parts of a log entry holds its events.
local LOGGED_EVENTS = 6
-- Of an event that moves what was counted: its flags have MOVES, and how many events it stands for in
-- units of MOVED_EVENTS. Flags of others: see Sources/Metering/Record/LogEntry.swift.
local MOVES, MOVED_EVENTS = 8, 32
-- So many subjects of a minute, hour, day or month are counted exactly; more are estimated.
local EXACT_SUBJECTS = 1000
-- Long enough for any resending of a batch, which is over within seconds.
local MARKER_TTL_S = 600
-- Behind all priorities that a grant can have.
local LAST_PRIORITY = 1000000
