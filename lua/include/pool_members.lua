-- Members of the pool's lists that are in the order of bytes: whose they are stands first, with its
-- length, so that no holder's are taken for another's.
local function of_holder(subject) return struct.pack('>I2', #subject) .. subject end

-- An integer in 8 bytes that sort as it does.
local function ordered(value)
  return value < 0 and '\0' .. struct.pack('>I7', MAX + value) or '\1' .. struct.pack('>I7', value)
end
