-- The rollups of one hash that a batch adds to, by index of their field: {events, meter, sum, ...}.
local function read_rollups(batch, key, fields)
  local old, rollups = redis.call('HMGET', key, unpack(fields)), {key = key, fields = fields}
  for i = 1, #fields do
    rollups[i] = old[i] and cmsgpack.unpack(old[i]) or {0}
  end
  batch.rollups[#batch.rollups + 1] = rollups
  return rollups
end

local function add_to_rollup(batch, rollup, cells, p, set, count)
  rollup[1] = rollup[1] + count
  local q = 2
  for j = 1, #set do
    local meter = set[j]
    if rollup[q] ~= meter then
      q = 2
      while rollup[q] and rollup[q] ~= meter do q = q + 2 end
    end
    local total = (rollup[q + 1] or 0) + cells[p + CELL_WIDTH + j - 1]
    if not (total <= MAX) then batch.rollup_overflows = true end
    rollup[q], rollup[q + 1] = meter, total
    q = q + 2
  end
  rollup.touched = true
end

-- Cells below this are no matter for the sums of their day, unless there are thousands of them.
local function has_large(rollups)
  for i = 1, #rollups.fields do
    local rollup = rollups[i]
    for q = 3, #rollup, 2 do
      if rollup[q] > LARGE then return true end
    end
  end
  return false
end

-- Adds the batch's sums to the hourly and daily rollups of its days.
local function add_cells(batch)
  local hours, days, cells = {}, {}, batch.cells
  for i, day in ipairs(batch.keys.days) do
    hours[i] = read_rollups(batch, day.hours, batch.fields[i][1])
    days[i] = read_rollups(batch, day.day, batch.fields[i][2])
  end
  local p, last = 1, #cells
  while p <= last do
    local index, set, count = cells[p], batch.sets[cells[p + CELL_SET]], cells[p + CELL_COUNT]
    if count ~= 0 then
      add_to_rollup(batch, hours[index][cells[p + 1]], cells, p, set, count)
      add_to_rollup(batch, days[index][cells[p + 2]], cells, p, set, count)
    end
    p = p + CELL_WIDTH + #set
  end
  for i, rollups in ipairs(days) do
    if redis.call('HEXISTS', batch.keys.large, batch.days[i]) == 1 or has_large(rollups) then
      code_of_bounds()(batch, i, rollups)
    end
  end
end
