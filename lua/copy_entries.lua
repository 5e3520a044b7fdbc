#!lua
--[[
  copy_entries: copy some entries of a stream under their ids to another one, some of them changed; at the end
  put that in its place, if no entry came behind the last one that was copied.

  KEYS     lease, stream, the other one
  ARGV     token of the lease's holder; id behind which to begin ('': at the start, with a new copy); id of
           the last entry to copy ('': none is left); {id, {field, value, ...}, ...} of the changed ones
           (packed)
  Returns  1 when it is in its place, 0 when it has to go on, -1 when the lease is lost
  Time     O(bytes)
]]
--@include require_rights

local call, after, last = redis.call, ARGV[2], ARGV[3]
local held = call('GET', KEYS[1])
if not held or (cmsgpack.unpack(held)) ~= ARGV[1] then return -1 end
-- The copy would be begun anew, without what it was made of.
require_rights(KEYS[2], {'XADD', 'PEXPIREAT', 'UNLINK', 'RENAME'})
local list, changed = cmsgpack.unpack(ARGV[4]), {}
for q = 1, #list, 2 do changed[list[q]] = list[q + 1] end
if after == '' then call('UNLINK', KEYS[3]) end
if last ~= '' then
  for _, entry in ipairs(call('XRANGE', KEYS[2], after == '' and '-' or '(' .. after, last)) do
    call('XADD', KEYS[3], entry[1], unpack(changed[entry[1]] or entry[2]))
  end
  local ends = call('PEXPIRETIME', KEYS[2])
  if after == '' and ends > 0 then call('PEXPIREAT', KEYS[3], ends) end
  after = last
end
if #call('XRANGE', KEYS[2], after == '' and '-' or '(' .. after, '+', 'COUNT', 1) > 0 then return 0 end
-- It may have expired meanwhile.
if call('EXISTS', KEYS[2], KEYS[3]) < 2 then
  call('UNLINK', KEYS[3])
  return 1
end
-- By itself RENAME would free the whole stream at once.
call('UNLINK', KEYS[2])
call('RENAME', KEYS[3], KEYS[2])
return 1
