-- SPDX-License-Identifier: Apache-2.0
-- Requests for every system under load, made the same way so that they cost wrk the same: four
-- strings joined per request, out of a ring of PICKS prepared ones.
--
--   head .. ring[i] .. middle .. tail
--
-- `ring[i]` names the subject, by Zipf's law over SUBJECTS of them; `middle` changes with each lap
-- of the ring, so that ids stay unique while all strings keep their length.
local requests = {}

local SUBJECTS, PICKS, LEADERS = 100000, 100000, 1000

-- Subjects by number, 0 the most frequent. The same seed gives the same picks to every system.
function requests.picks(seed)
  local cumulated, sum = {}, 0
  for rank = 1, SUBJECTS do
    sum = sum + 1 / rank
    cumulated[rank] = sum
  end
  math.randomseed(seed)
  local picks = {}
  for i = 1, PICKS do
    local point, low, high = math.random() * sum, 1, SUBJECTS
    while low < high do
      local middle = math.floor((low + high) / 2)
      if cumulated[middle] < point then low = middle + 1 else high = middle end
    end
    picks[i] = low - 1
  end
  return picks
end

function requests.subject(number) return string.format("user-%06d", number) end

-- Globals, because wrk hands only globals of a thread to `done`.
sent = 0      -- events generated
picked = {}   -- the picks of one lap
prepared = 0  -- CPU seconds before the first request

-- Defines wrk's `request` for one event per request. `lap_text(lap)` gives `middle`; `head` may be
-- a function of the lap as well.
function requests.one_per_request(picks, head, piece, lap_text, tail)
  picked = picks
  local ring, count, i, lap = {}, #picks, 0, 0
  for n = 1, count do ring[n] = piece(requests.subject(picks[n]), n) end
  local head_of = type(head) == "function" and head or function() return head end
  local front, middle = head_of(0), lap_text(0)
  function request()
    i = i + 1
    if i > count then
      i, lap = 1, lap + 1
      front, middle = head_of(lap), lap_text(lap)
    end
    sent = sent + 1
    return front .. ring[i] .. middle .. tail
  end
  prepared = os.clock()
end

-- Defines wrk's `request` for `size` lines per request, each `piece .. middle .. tail`.
function requests.many_per_request(picks, size, head, piece, lap_text, tail)
  picked = picks
  local bodies, lap, b = {}, 0, 0
  for first = 1, #picks, size do
    local parts = {}
    for k = 0, size - 1 do
      local text = piece(requests.subject(picks[first + k]), first + k)
      parts[k + 1] = k == 0 and text or tail .. text
    end
    parts[size + 1] = tail
    bodies[#bodies + 1] = parts
  end
  local middle = lap_text(0)
  local length = #table.concat(bodies[1], middle)
  head = head .. "Content-Length: " .. length .. "\r\n\r\n"
  for _, parts in ipairs(bodies) do parts[1] = head .. parts[1] end
  function request()
    b = b + 1
    if b > #bodies then
      b, lap = 1, lap + 1
      middle = lap_text(lap)
    end
    sent = sent + size
    return table.concat(bodies[b], middle)  -- `middle` stands between all parts
  end
  prepared = os.clock()
end

-- How many of the events generated went to the `count` most frequent subjects.
local function sent_to(count, total, picks)
  local per_lap, rest = 0, 0
  for i = 1, #picks do
    if picks[i] < count then
      per_lap = per_lap + 1
      if i <= total % #picks then rest = rest + 1 end
    end
  end
  return #picks == 0 and 0 or math.floor(total / #picks) * per_lap + rest
end

local threads = {}
function setup(thread) threads[#threads + 1] = thread end

-- One line of JSON for bench/load.py. wrk counts only what was answered before it stopped.
function done(summary, latency)
  local total, first, leaders, generating = 0, 0, 0, os.clock()
  for _, thread in ipairs(threads) do
    local n = thread:get("sent")
    total = total + n
    generating = generating - thread:get("prepared")
    local picks = thread:get("picked")
    first = first + sent_to(1, n, picks)
    leaders = leaders + sent_to(LEADERS, n, picks)
  end
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"sent":%d,"sent_to_first":%d,'
      .. '"sent_to_leaders":%d,"generator_seconds":%.6f,'
      .. '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), total,
    first, leaders, generating, e.connect, e.read, e.write, e.status, e.timeout))
end

return requests
