-- SPDX-License-Identifier: Apache-2.0
-- One INCRBY per request through webdis, on the same subjects. Arguments: "POST" or "GET", seed.
local requests = require "requests"

function init(args)
  local picks = requests.picks(tonumber(args[2]))
  local function piece(subject) return subject .. "/" end
  local function lap_text() return "1168" end
  if args[1] == "GET" then
    local tail = " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    requests.one_per_request(picks, "GET /INCRBY/", piece, lap_text, tail)
  else
    local head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: "
      .. #"INCRBY/user-000000/1168" .. "\r\n\r\nINCRBY/"
    requests.one_per_request(picks, head, piece, lap_text, "")
  end
end
