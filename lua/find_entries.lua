#!lua flags=no-writes
--[[
  find_entries: some entries of a stream, behind one of them, that hold one of some texts.

  KEYS     stream
  ARGV     id of the entry ('': from the start); {text, ...} (packed), none for all entries; most entries;
           most bytes that are looked at
  Returns  {id of the last entry that was looked at ('': there was none), {entry, ...}}
  Time     O(bytes)
]]
local texts, room, bytes = cmsgpack.unpack(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local last, found = ARGV[1], {}
local function is_meant(fields)
  if #texts == 0 then return true end
  for q = 2, #fields, 2 do
    for _, text in ipairs(texts) do
      if string.find(fields[q], text, 1, true) then return true end
    end
  end
  return false
end
while room > 0 and bytes > 0 do
  local from = last == '' and '-' or '(' .. last
  local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', math.min(room, 10))
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    if is_meant(entry[2]) then found[#found + 1] = entry end
    for q = 2, #entry[2], 2 do bytes = bytes - #entry[2][q] end
    last = entry[1]
  end
  room = room - #entries
end
return {last == ARGV[1] and '' or last, found}
