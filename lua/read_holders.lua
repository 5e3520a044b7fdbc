#!lua flags=no-writes
--[[
  read_holders: what the pool knows of some subjects, at one instant. Each costs a look at every provider,
  so that not all that were asked for may be read.

  KEYS     holders, providers, ready
  ARGV     subjects, in the order in which they are read
  Returns  {record of the holder ('': none), how many of its keys are ready, ...} of the first ones
  Time     O(subjects * providers * log keys)
]]
--@constants constants
--@include pool_members

local LOOKS = 400
local providers = redis.call('HGETALL', KEYS[2])
local count = math.max(1, math.min(#ARGV, math.floor(LOOKS / math.max(1, #providers / 2))))
local rows = {}
local records = redis.call('HMGET', KEYS[1], unpack(ARGV, 1, count))
for i = 1, count do
  local owner, ready = of_holder(ARGV[i]), 0
  for p = 1, records[i] and #providers or 0, 2 do
    local of_provider = owner .. providers[p] .. '\0'
    local threshold = of_provider .. ordered(tonumber(providers[p + 1]))
    -- The numbers of keys behind a balance begin with a byte below 255.
    ready = ready + redis.call('ZLEXCOUNT', KEYS[3], '(' .. threshold .. '\255', '(' .. of_provider .. '\2')
  end
  rows[2 * i - 1], rows[2 * i] = records[i] or '', ready
end
return rows
