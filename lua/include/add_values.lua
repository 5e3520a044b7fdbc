-- What has to be written to a sorted set of negated sums so that it has these amounts more: arguments of
-- ZADD, and members that are 0 by then.
local function add_values(key, subjects, amounts)
  local adds, drops, old = {}, {}, redis.call('ZMSCORE', key, unpack(subjects))
  for i = 1, #subjects do
    local value = tonumber(old[i] or 0) - amounts[i]
    if value ~= 0 then
      adds[#adds + 1], adds[#adds + 2] = string.format('%.0f', value), subjects[i]
    elseif old[i] then
      drops[#drops + 1] = subjects[i]
    end
  end
  return adds, drops
end
