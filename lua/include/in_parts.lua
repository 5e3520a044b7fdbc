-- Goes through any number of values, as many at once as Lua can safely unpack.

-- Calls a body with values from one on.
local function in_parts(values, body, first)
  for at = first or 1, #values, 1000 do body(unpack(values, at, math.min(at + 999, #values))) end
end

-- What a command that takes values out of a key has taken.
local function take_out(command, key, values, first)
  local count = 0
  in_parts(values, function(...) count = count + redis.call(command, key, ...) end, first)
  return count
end

-- The unpacked values of some fields; false for one that is not there.
local function unpacked_of(key, fields)
  local values = {}
  in_parts(fields, function(...)
    for _, value in ipairs(redis.call('HMGET', key, ...)) do values[#values + 1] = value and cmsgpack.unpack(value) end
  end)
  return values
end
