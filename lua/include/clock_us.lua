-- How long the script runs, in µs from some beginning. CPU time, where scripts may ask for it, which they may not in
-- Redis 7.0; there `TIME` goes on while a script runs, as it does not in later versions.
local function clock_us()
  local has_clock, seconds = pcall(function() return os.clock() end)
  if has_clock then return seconds * 1e6 end
  local time = redis.call('TIME')
  return time[1] * 1e6 + time[2]
end

-- Says beside what was done how long it took since `began`, if that is asked for and was not said before.
local function tell_time(done, began)
  if began and not done[7] then done[7] = math.floor(clock_us() - began) end
  return done
end
