-- Adds sums (per field: events, number of meters, then meter and amount of each) to the rollup
-- cells of one hash, and notes what to write.
local function add_to_hash(batch, key, fields, sums)
  local old = redis.call('HMGET', key, unpack(fields))
  local writes, p = {}, 1
  for i = 1, #fields do
    local count, k = sums[p], sums[p + 1]
    if count > 0 then
      local cell = old[i] and cmsgpack.unpack(old[i]) or {0}
      cell[1] = cell[1] + count
      for j = 1, k do
        local meter, q = sums[p + 2 * j], 2
        while cell[q] and cell[q] ~= meter do q = q + 2 end
        local total = (cell[q + 1] or 0) + sums[p + 2 * j + 1]
        if not (total <= MAX) then batch.rollup_overflows = true end
        cell[q], cell[q + 1] = meter, total
      end
      writes[#writes + 1] = fields[i]
      writes[#writes + 1] = cmsgpack.pack(cell)
    end
    p = p + 2 + 2 * k
  end
  batch.cells[key] = writes
end

-- Adds the batch's sums to the hourly and daily rollups of its days.
local function add_to_cells(batch, cells)
  for i, day in ipairs(batch.keys.days) do
    add_to_hash(batch, day.hours, cells[i][1], cells[i][2])
    add_to_hash(batch, day.day, cells[i][3], cells[i][4])
  end
end
