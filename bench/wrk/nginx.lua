-- SPDX-License-Identifier: Apache-2.0
-- The same check at peers/nginx.conf, on the same subjects. Arguments: seed.
local requests = require "requests"

function init(args)
  local function piece(subject) return subject end
  local function lap_text() return "" end
  local tail = " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
  requests.one_per_request(
    requests.picks(tonumber(args[1])), "GET /check/", piece, lap_text, tail)
end
