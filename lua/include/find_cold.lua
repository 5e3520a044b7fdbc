-- The days of a batch on which it would count something, and that have left Redis. Also today is looked up:
-- it may have left while a clock was ahead.
local function find_cold(batch)
  local days, cold = batch.days, {}
  local marks = #days > 0 and redis.call('HMGET', KEYS[#KEYS - 1], unpack(days)) or {}
  for i = 1, #days do
    local is_touched = false
    for _, rollup in ipairs(marks[i] and batch.rollups[2 * i - 1] or {}) do
      is_touched = is_touched or rollup.touched
    end
    if is_touched then cold[#cold + 1] = days[i] end
  end
  return cold
end
