#!lua
--[[
  restore_accounts: write some accounts, and a line of each that opens its ledger: the log of before is
  gone, and the sum of a ledger is the balance.

  KEYS     meta, accounts, log
  ARGV     token of the restore
           {number of the log's entry, day of the log, when (ms), ttl_s of the log,
           {subject, account, balance, held, ...}} (packed)
           events and results of an entry without events
  Returns  1, or 0 when another restore has begun since
  Time     O(accounts)
]]
--@constants constants
--@constants account_fields
--@include require_rights

if redis.call('HGET', KEYS[1], 'restoring') ~= ARGV[1] then return 0 end
local ask = cmsgpack.unpack(ARGV[2])
local number, log_day, now, ttl_s, rows = ask[1], ask[2], ask[3], ask[4], ask[5]
local ledger, writes = {}, {}
for p = 1, #rows, 4 do
  local subject, fields, balance, held = rows[p], rows[p + 1], rows[p + 2], rows[p + 3]
  fields[POSITION] = 0
  if balance ~= 0 or held ~= 0 then
    fields[POSITION] = log_day * DAY_STRIDE + number
    local n = #ledger
    ledger[n + 1], ledger[n + 2] = subject, 0
    ledger[n + 3] = {CORRECTION, balance, balance, now, held, 'restored'}
  end
  writes[#writes + 1] = subject
  writes[#writes + 1] = cmsgpack.pack(fields)
end
redis.call('XLEN', KEYS[3])
require_rights(KEYS[1], {'EXPIRE', 'HSET', 'XADD'})
redis.call('HSET', KEYS[2], unpack(writes))
if #ledger > 0 then
  redis.call('XADD', KEYS[3], '0-' .. string.format('%.0f', number), 'b', ARGV[3], 'r', ARGV[4], 'x', ARGV[4],
    'c', cmsgpack.pack(ledger))
  redis.call('EXPIRE', KEYS[3], ttl_s)
end
return 1
