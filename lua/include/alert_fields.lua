-- Of an alert: its id, name, the one subject that it is about ('': all), the limit (its place in the rules; 0:
-- the balance), the limit's name, percents from the lowest on.
local ALERT_ID, ALERT_NAME, ALERT_SUBJECT, ALERT_LIMIT, ALERT_LABEL, ALERT_PERCENTS = 1, 2, 3, 4, 5, 6
-- Of what was told of a subject, flat, behind the alert's id: when the period ends (0: it has none),
-- the highest percent. Of budgets the first has id 0: when these were written (µs, of this Redis).
local TOLD_PERIOD, TOLD_PERCENT, TOLD_WIDTH = 1, 2, 3
-- Of a notice: alert's id and name, limit's name, subject, percent, used, most, when (ms), when the period
-- ends (ms, 0: never), attempts to deliver it, what the last one failed for.
local NOTICE_ALERT, NOTICE_ATTEMPTS, NOTICE_ERROR = 1, 10, 11
