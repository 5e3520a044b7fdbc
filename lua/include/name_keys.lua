-- Gives each of KEYS its name, in the order that record_events documents.
local function name_keys(ask, decides)
  local ranked, days, rolls = #ask[5], ask[6], ask[7]
  local k = {subjects = KEYS[1], marker = KEYS[2], log = KEYS[3], rules = KEYS[4], demo = KEYS[5], registered = KEYS[6], people = KEYS[7], merged = KEYS[8], large = KEYS[9], erasing = KEYS[10], meta = KEYS[11], days = 0, ids = 0, use = 0}
  local n, named_days = 11, {}
  for i = 1, #days do
    named_days[i] = {hours = KEYS[n + 1], day = KEYS[n + 2], boards = {unpack(KEYS, n + 3, n + 2 + ranked)}}
    n = n + 2 + ranked
  end
  k.days, k.ids, n = named_days, {unpack(KEYS, n + 1, n + ask[8])}, n + ask[8]
  if decides then
    k.accounts, k.holds, k.open_holds, k.ended_holds, k.grants, k.reversed, k.merges =
      unpack(KEYS, n + 1, n + 7)
    n = n + 7
    if ask[19][8] then
      k.told, k.last_notice, k.notices, k.due = unpack(KEYS, n + 1, n + 4)
      n = n + 4
    end
  end
  if ask[23] == 1 then k.erasures, k.open_erasures, k.all_erasures = unpack(KEYS, #KEYS - 4, #KEYS - 2) end
  k.use = {}
  if ask[9] == 0 then return k end
  for i = 1, #days do k.use[days[i]] = KEYS[n + i] end
  n = n + #days
  for i = 1, #rolls do k.use[rolls[i]] = KEYS[n + i] end
  return k
end
