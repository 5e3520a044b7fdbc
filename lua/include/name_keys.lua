-- Gives each of KEYS its name, in the order that record_events documents.
local function name_keys(head, decides)
  local ranked, days, rolls = #head[5], head[6], head[7]
  local k = {subjects = KEYS[1], marker = KEYS[2], log = KEYS[3], rules = KEYS[4], ids = {}, days = {}, use = {}}
  local n = 4
  for i = 1, #days do
    local day = {hours = KEYS[n + 1], day = KEYS[n + 2], boards = {}}
    for j = 1, ranked do day.boards[j] = KEYS[n + 2 + j] end
    k.days[i], n = day, n + 2 + ranked
  end
  for i = 1, head[8] do k.ids[i] = KEYS[n + i] end
  n = n + head[8]
  if decides then
    k.accounts, k.holds, k.open_holds, k.ended_holds, k.grants, k.reversed =
      unpack(KEYS, n + 1, n + 6)
    n = n + 6
  end
  if head[9] == 0 then return k end
  k.closed = {}
  for i = 1, ranked do k.closed[i] = KEYS[n + i] end
  n = n + ranked
  for i = 1, #days do k.use[days[i]] = KEYS[n + i] end
  n = n + #days
  for i = 1, #rolls do k.use[rolls[i]] = KEYS[n + i] end
  return k
end
