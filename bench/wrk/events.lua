-- SPDX-License-Identifier: Apache-2.0
-- POSTs usage events as JSON. Arguments: path, seed, name of this run, "ids" or "no-ids", and the
-- number of events per request (more than one: NDJSON). The key is in the environment.
local requests = require "requests"

local one_with_id

function init(args)
  local path, seed, run, ids, size =
    args[1], tonumber(args[2]), args[3], args[4] == "ids", tonumber(args[5])
  local head = table.concat({
    "POST " .. path .. " HTTP/1.1",
    "Host: 127.0.0.1",
    "Authorization: Bearer " .. os.getenv("TALLY_ADMIN_KEY"),
    "Content-Type: application/" .. (size > 1 and "x-ndjson" or "json"),
    "",
  }, "\r\n")

  local event = '{"action":"ai_chat_message","model":"gpt-4o-mini",'
    .. '"meters":{"input_tokens":962,"output_tokens":206,"tokens":1168},"subject":"'
  local function piece(subject, n)
    if not ids then return event .. subject end
    return event .. subject .. string.format('","id":"%s-%06d-', run, n)
  end
  local function lap_text(lap) return ids and string.format("%06d", lap) or '"' end
  local tail = ids and '"}' or "}"

  local picks = requests.picks(seed)
  if size > 1 then
    requests.many_per_request(picks, size, head, piece, lap_text, tail .. "\n")
    return
  end
  if ids then return one_with_id(requests, picks, head, event, run) end
  local length = #(piece(requests.subject(0), 1) .. lap_text(0) .. tail)
  head = head .. "Content-Length: " .. length .. "\r\n\r\n" .. event
  local function rest(subject, n) return piece(subject, n):sub(#event + 1) end
  requests.one_per_request(picks, head, rest, lap_text, tail)
end

-- One event with an id per request. The LuaJIT that Debian's nginx modules bring hashes a string by
-- its first and last bytes and those in its middle, and compares all that are equal in these: so
-- the part of the id that differs has to stand in the middle of the request.
one_with_id = function(requests, picks, head, event, run)
  local digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
  local function digit(n, place)
    local d = math.floor(n / 62 ^ place) % 62 + 1
    return digits:sub(d, d)
  end
  local start, padding = '{"id":"', 0
  local tail = '",' .. event:sub(2, -13) .. "}"
  -- Laps are told by one digit, picks by the three behind it.
  local function piece(subject, n)
    return digit(n, 2) .. digit(n, 1) .. digit(n, 0) .. "-" .. run .. ("0"):rep(padding)
      .. '","subject":"' .. subject
  end
  local function front(lap)
    local length = #start + 1 + #piece(requests.subject(0), 1) + #tail
    return head .. "Content-Length: " .. length .. "\r\n\r\n" .. start .. digit(lap, 0)
  end
  local function is_in_the_middle()
    local offset = #front(0) - 1
    local length = offset + 1 + #piece(requests.subject(0), 1) + #tail
    return offset == math.floor(length / 2) - 2
  end
  while padding < 100 and not is_in_the_middle() do padding = padding + 1 end
  requests.one_per_request(picks, front, piece, function() return "" end, tail)
end
