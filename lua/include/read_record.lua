-- Reads a subject's record, an array. Its elements are read as values of their own, behind the
-- array's head: so they come at once, while a table that is filled one by one grows and moves.
-- There may be as many as the stack bears.
local function read_record(packed)
  local head, high = string.byte(packed, 1, 2)
  if head >= 0x90 and head < 0xa0 then return {cmsgpack.unpack(string.sub(packed, 2))} end
  if head == 0xdc and high < 8 then return {cmsgpack.unpack(string.sub(packed, 4))} end
  return cmsgpack.unpack(packed)
end
