-- Gives each of KEYS its name, in the order that record_events documents.
local function name_keys(head)
  local ranked, days, rolls = #head[5], head[6], head[7]
  local k = {subjects = KEYS[1], marker = KEYS[2], log = KEYS[3], closed = {}, ids = {}, days = {}, use = {}}
  local n = 3
  for i = 1, ranked do k.closed[i] = KEYS[n + i] end
  n = n + ranked
  for i = 1, head[8] do k.ids[i] = KEYS[n + i] end
  n = n + head[8]
  for i = 1, #days do
    local day = {use = KEYS[n + 1], hours = KEYS[n + 2], day = KEYS[n + 3], boards = {}}
    for j = 1, ranked do day.boards[j] = KEYS[n + 3 + j] end
    k.days[i] = day
    k.use[days[i]] = day.use
    n = n + 3 + ranked
  end
  for i = 1, #rolls do k.use[rolls[i]] = KEYS[n + i] end
  return k
end
