-- SPDX-License-Identifier: Apache-2.0
-- POSTs usage events as JSON. Arguments: path, seed, name of this run, "ids" or "no-ids", and the
-- number of events per request (more than one: NDJSON). The key is in the environment.
local requests = require "requests"

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
  local length = #(piece(requests.subject(0), 1) .. lap_text(0) .. tail)
  head = head .. "Content-Length: " .. length .. "\r\n\r\n" .. event
  local function rest(subject, n) return piece(subject, n):sub(#event + 1) end
  requests.one_per_request(picks, head, rest, lap_text, tail)
end
