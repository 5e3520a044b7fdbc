-- The days among the old ones of a batch on which it would count something, and that have left Redis.
local function find_cold(batch, old)
  local marks, cold = redis.call('HMGET', KEYS[#KEYS - 1], unpack(old)), {}
  for i = 1, #batch.days do
    local is_touched, mark = false, nil
    for _, rollup in ipairs(batch.rollups[2 * i - 1]) do is_touched = is_touched or rollup.touched end
    for j, day in ipairs(old) do
      if day == batch.days[i] then mark = marks[j] end
    end
    if is_touched and mark then cold[#cold + 1] = batch.days[i] end
  end
  return cold
end
