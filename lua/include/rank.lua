-- Notes a subject's new value on a board. Boards keep negated values, so that their own order is
-- the leaderboard's: most first, equal values by id.
local function rank(batch, board, value, subject)
  if value <= 0 then
    -- Nothing was ranked, or all that was is undone: 0 is taken out when all is written, unless
    -- something of this batch comes after it.
    if not batch.undoes then return end
    batch.unranked[board], value = true, 0
  end
  local boards, list = batch.boards, nil
  for i = 1, #boards do
    if boards[i].key == board then list = boards[i] end
  end
  local n = list.n
  list[n + 1], list[n + 2], list.n = string.format('%d', -value), subject, n + 2
end

-- Where a meter stands among the ranked ones; nil when it is none.
local function rank_of(batch, meter)
  for i, ranked in ipairs(batch.ranked) do
    if ranked == meter then return i end
  end
end
