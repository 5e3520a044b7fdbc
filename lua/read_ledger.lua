#!lua flags=no-writes
--[[
  read_ledger: entries of the log that have lines of a subject's ledger, from one on back: each names
  the one before it. It ends where it began to be long, or with a log that is not among KEYS.

  KEYS     logs: of a day of arrival, and of days before it one by one
  ARGV[1]  {day of the first log, position of the first entry, subject, most entries, most bytes}
  Returns  {day, entry, ...}; the first entry is there whatever its length, if the log has it
  Time     O(bytes): at most those of one entry more than was allowed
]]
--@constants constants

local ask = cmsgpack.unpack(ARGV[1])
local first, position, subject, count, bytes = ask[1], ask[2], ask[3], ask[4], ask[5]

-- The position before, of a subject's lines in a ledger's part; nil if it has none there.
local function before(ledger)
  for q = 1, #ledger, 3 do
    if ledger[q] == subject then return ledger[q + 1] end
  end
end

local reply = {}
while position and position > 0 and #reply < 2 * count and bytes > 0 do
  local day = math.floor(position / DAY_STRIDE)
  local key = KEYS[first - day + 1]
  if not key then break end
  local id = string.format('0-%.0f', position - day * DAY_STRIDE)
  local entry = redis.call('XRANGE', key, id, id)[1]
  if not entry then break end
  reply[#reply + 1], reply[#reply + 2] = day, entry
  local fields, ledger = entry[2], nil
  for q = 1, #fields, 2 do
    bytes = bytes - #fields[q + 1]
    if fields[q] == 'c' then ledger = fields[q + 1] end
  end
  position = ledger and before(cmsgpack.unpack(ledger))
end
return reply
