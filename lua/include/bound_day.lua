-- Has the batch refused when it takes the sum of a meter over a whole day past MAX; notes that the day has a
-- large cell, so that whatever comes later is looked at, too.
local function bound_day(batch, index, rollups)
  local sums, mine = {}, {}
  local function add(rollup)
    for q = 2, #rollup, 2 do sums[rollup[q]] = (sums[rollup[q]] or 0) + rollup[q + 1] end
  end
  for i, field in ipairs(rollups.fields) do
    mine[field] = true
    add(rollups[i])
  end
  local others = redis.call('HGETALL', rollups.key)
  for i = 1, #others, 2 do
    if not mine[others[i]] then add(cmsgpack.unpack(others[i + 1])) end
  end
  for _, sum in pairs(sums) do
    if not (sum <= MAX) then batch.rollup_overflows = true end
  end
  batch.large[#batch.large + 1] = batch.days[index]
end
