-- What a percent of `most` is reached with: a whole number, exactly.
local function needed(most, percent)
  most = math.max(0, most)
  return math.floor(most / 100) * percent + math.ceil(most % 100 * percent / 100)
end

-- The highest percent that was told and still stands. One is told again only after less than nine
-- tenths of it were used, so that what goes up and down around it does not tell it each time.
local function still_told(alert, percent, used, most)
  local kept = 0
  for _, its in ipairs(alert[ALERT_PERCENTS]) do
    local need = needed(most, its)
    if its <= percent and used > 0 and used >= need - math.floor(need / 10) then kept = its end
  end
  return kept
end

-- Adds a notice for each percent that is reached and was not told; returns the highest one told.
local function tell(notices, alert, told, subject, used, most, now, ends)
  for _, percent in ipairs(alert[ALERT_PERCENTS]) do
    if percent > told and used > 0 and used >= needed(most, percent) then
      notices[#notices + 1] = cmsgpack.pack({
        alert[ALERT_ID], alert[ALERT_NAME], alert[ALERT_LABEL], subject, percent, used, most, now, ends, 0, '',
      })
      told = percent
    end
  end
  return told
end

-- Fails here if a key of the notices has a wrong type: nothing is written yet.
local function check_notices(keys)
  redis.call('GET', keys.last_notice)
  redis.call('HLEN', keys.notices)
  redis.call('ZCARD', keys.due)
end

local function write_notices(keys, now, notices)
  if #notices == 0 then return end
  local last = redis.call('INCRBY', keys.last_notice, #notices)
  for from = 1, #notices, 500 do
    local fields, scores, n = {}, {}, 0
    for i = from, math.min(from + 499, #notices) do
      -- With the time, so that no id comes again after a restore.
      local id = string.format('%.0f-%.0f', now, last - #notices + i)
      fields[n + 1], fields[n + 2], scores[n + 1], scores[n + 2] = id, notices[i], now, id
      n = n + 2
    end
    redis.call('HSET', keys.notices, unpack(fields))
    redis.call('ZADD', keys.due, unpack(scores))
  end
end
