-- What a batch is going to write, gathered while it is checked.
local function new_batch(head, keys, ask)
  local batch = {
    keys = keys, today = head[3], days = head[6], ranked = {},
    records = {}, subjects = ask[2], sets = ask[3], rows = ask[4], fields = ask[5], cells = ask[6],
    use = {}, boards = {}, hashes = {}, touched = {}, unranked = {}, overflow = {}, missing = {}, lists = {},
    rollup_overflows = false,
  }
  for i, meter in ipairs(head[5]) do batch.ranked[meter] = i end
  -- Per day: ranked meter → what goes to its board.
  for i, day in ipairs(keys.days) do
    local lists = {}
    for j, meter in ipairs(head[5]) do
      lists[meter] = {n = 0}
      batch.boards[day.boards[j]] = lists[meter]
    end
    batch.lists[i] = lists
  end
  return batch
end

-- Where a meter stands in a record, which gets it if it is new.
local function place_of(record, meter)
  local q = METERS
  while record[q] and record[q] ~= meter do q = q + 3 end
  if not record[q] then record[q], record[q + 1], record[q + 2] = meter, 0, 0 end
  return q
end

-- Notes a subject's new value on a board. Boards keep negated values, so that their own order is
-- the leaderboard's: most first, equal values by id.
local function rank(batch, board, value, subject)
  if value <= 0 then
    -- Nothing was ranked, or all that was is undone: 0 is taken out when all is written, unless
    -- something of this batch comes after it.
    if not batch.undoes then return end
    batch.unranked[board], value = true, 0
  end
  local list = batch.boards[board]
  if not list then
    list = {n = 0}
    batch.boards[board] = list
  end
  local n = list.n
  list[n + 1], list[n + 2], list.n = -value, subject, n + 2
end

local function list_of(set)
  local list = {}
  for value in pairs(set) do list[#list + 1] = value end
  return list
end
