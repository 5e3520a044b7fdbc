-- SPDX-License-Identifier: Apache-2.0
-- Takes one uploaded file of a subject's limit, over and over. Arguments: seed, "all" subjects or
-- only the "first". The key is in the environment.
local requests = require "requests"

function init(args)
  local picks = requests.picks(tonumber(args[1]))
  if args[2] == "first" then
    for i = 1, #picks do picks[i] = 0 end
  end
  local body = '{"consume":true,"amounts":{"files_uploaded":1},"subject":"'
  local tail = '"}'
  local head = table.concat({
    "POST /v1/check HTTP/1.1",
    "Host: 127.0.0.1",
    "Authorization: Bearer " .. os.getenv("TALLY_ADMIN_KEY"),
    "Content-Type: application/json",
    "Content-Length: " .. #(body .. requests.subject(0) .. tail),
    "",
    body,
  }, "\r\n")
  local function piece(subject) return subject end
  local function lap_text() return "" end
  requests.one_per_request(picks, head, piece, lap_text, tail)
end
