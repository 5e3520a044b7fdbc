-- What a batch is going to write, gathered while it is checked.
local function new_batch(ask, keys)
  local ranked, boards, lists = ask[5], {}, {}
  -- Per day: ranked meter → what goes to its board. All of them stand in `boards`, too.
  for i, day in ipairs(keys.days) do
    local of_day = {}
    for j = 1, #ranked do
      local list = {key = day.boards[j], n = 0}
      boards[#boards + 1], of_day[ranked[j]] = list, list
    end
    lists[i] = of_day
  end
  return {
    keys = keys, today = ask[3], days = ask[6], ranked = ranked, boards = boards, lists = lists,
    subjects = ask[12], sets = ask[13], rows = ask[14], fields = ask[15], cells = ask[16],
    records = {}, touched = {}, overflow = {}, missing = {}, rollups = {}, large = {}, use = {}, unranked = {},
    rollup_overflows = false, undoes = false,
  }
end

local function list_of(set)
  local list = {}
  for value in pairs(set) do list[#list + 1] = value end
  return list
end

local function flat_of(map)
  local list, n = {}, 0
  for key, value in pairs(map) do list[n + 1], list[n + 2], n = key, value, n + 2 end
  return list
end

-- Where a meter stands in a record, which gets it if it is new.
local function place_of(record, meter)
  local q = METERS
  while record[q] and record[q] ~= meter do q = q + 3 end
  if not record[q] then record[q], record[q + 1], record[q + 2] = meter, 0, 0 end
  return q
end
