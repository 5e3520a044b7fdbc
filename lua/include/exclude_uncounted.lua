-- Finds who of a batch is not counted, and notes their events in `gone` with why: 'd' (demo), 'n' (not
-- registered) or 'i' (inactive). Events that undo others go on: what they undo was counted. Returns
-- {subject → why}.
local function exclude_uncounted(batch, ask, keys, gone)
  local call, asked, known, why = redis.call, {}, {}, {}
  local function add(subject)
    if not known[subject] then known[subject], asked[#asked + 1] = true, subject end
  end
  for _, subject in ipairs(batch.subjects) do add(subject) end
  for q = 1, #ask[20], 3 do add(ask[20][q]) end
  if #asked == 0 then return why end
  local demo = call('SMISMEMBER', keys.demo, unpack(asked))
  local registered = ask[22] == 1 and call('SMISMEMBER', keys.registered, unpack(asked))
  for i, subject in ipairs(asked) do
    if demo[i] == 1 then
      why[subject] = 'd'
    elseif registered and registered[i] == 0 then
      local profile = call('HGET', keys.people, subject)
      local is_user = profile and cmsgpack.unpack(profile)[PROFILE_KIND] == USER
      why[subject] = is_user and 'i' or 'n'
    end
  end
  if not next(why) then return why end

  local rows, of_row, p = batch.rows, {}, 1
  while p <= #rows do
    of_row[#of_row + 1] = rows[p + ROW_COUNT] > 0 and why[batch.subjects[rows[p]]] or false
    p = p + ROW_WIDTH + #batch.sets[rows[p + ROW_SET]]
  end
  local logged = cmsgpack.unpack(ARGV[2])
  for place, event in ipairs(logged[LOGGED_EVENTS]) do
    if of_row[event[1]] and not gone[place] then gone[place] = of_row[event[1]] end
  end
  return why
end
