-- SPDX-License-Identifier: Apache-2.0
-- The same GET over and over; wrk's own default request.
require "requests"
