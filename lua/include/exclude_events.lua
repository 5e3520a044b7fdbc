-- Takes the events whose places are in `gone` out of the batch's sums.
local function exclude_events(batch, gone)
  local rows, cells, sets = batch.rows, batch.cells, batch.sets
  local function offsets(list, width, set)
    local starts, p = {}, 1
    while p <= #list do
      starts[#starts + 1] = p
      p = p + width + #sets[list[p + set]]
    end
    return starts
  end
  local row_starts, cell_starts = offsets(rows, ROW_WIDTH, ROW_SET), offsets(cells, CELL_WIDTH, CELL_SET)

  -- Per event: {row, cell, time, flags, id, description, amount, ...}.
  local logged, touched = cmsgpack.unpack(ARGV[2]), {}
  local events = logged[LOGGED_EVENTS]
  for place in pairs(gone) do
    local event = events[place]
    local row, cell = row_starts[event[1]], cell_starts[event[2]]
    touched[event[1]] = true
    -- Rows of events that undo others count down.
    local one = rows[row + ROW_COUNT] < 0 and -1 or 1
    -- One that moves what was counted stands for many.
    if event[4] % (2 * MOVES) >= MOVES then one = one * math.floor(event[4] / MOVED_EVENTS) end
    rows[row + ROW_COUNT] = rows[row + ROW_COUNT] - one
    cells[cell + CELL_COUNT] = cells[cell + CELL_COUNT] - one
    for j = 1, #event - 6 do
      local in_row, in_cell = row + ROW_WIDTH + j - 1, cell + CELL_WIDTH + j - 1
      rows[in_row] = rows[in_row] - event[6 + j]
      cells[in_cell] = cells[in_cell] - event[6 + j]
    end
  end
  -- The first and last time of a row are those of the events that count.
  local seen = {}
  for place, event in ipairs(events) do
    local time, row = event[3], row_starts[event[1]]
    if touched[event[1]] and not gone[place] then
      if not seen[row] then
        seen[row], rows[row + ROW_FIRST], rows[row + ROW_LAST] = true, time, time
      elseif time < rows[row + ROW_FIRST] then rows[row + ROW_FIRST] = time
      elseif time > rows[row + ROW_LAST] then rows[row + ROW_LAST] = time end
    end
  end
end
