-- Where the logs end that KEYS names from `first` to `last`: the number of the last entry, 0 for none.
local function ends_of(first, last)
  local ends = {}
  for i = first, last do
    local entry = redis.call('XREVRANGE', KEYS[i], '+', '-', 'COUNT', 1)[1]
    ends[#ends + 1] = entry and tonumber(string.match(entry[1], '-(%d+)')) or 0
  end
  return cmsgpack.pack(ends)
end
