#!lua
--[[
  forget_ids: forget ids of events, as far as they stand for these very events.

  KEYS     id generations
  ARGV[1]  flat {digest, pointer to where the event was counted, ...} (packed)
  Returns  how many were forgotten
  Time     O(ids * generations)
]]
local list, digests, count = cmsgpack.unpack(ARGV[1]), {}, 0
for q = 1, #list, 2 do digests[#digests + 1] = list[q] end
for _, key in ipairs(KEYS) do
  local gone = {}
  for i, pointer in ipairs(redis.call('HMGET', key, unpack(digests))) do
    if pointer == list[2 * i] then gone[#gone + 1] = digests[i] end
  end
  if #gone > 0 then count = count + redis.call('HDEL', key, unpack(gone)) end
end
return count
