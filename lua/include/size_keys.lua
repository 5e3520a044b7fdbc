-- Reads the size of each key that is going to be written and was not read yet: a wrong type fails here,
-- before the first write, and a hash of ids of size 0 is new and gets its expiry.
local function size_keys(batch, ids)
  local call, keys, sizes = redis.call, batch.keys, {}
  if #ids > 0 then sizes[keys.ids[1]] = call('HLEN', keys.ids[1]) end
  for key in pairs(batch.use) do call('HLEN', key) end
  for _, list in ipairs(batch.boards) do
    if list.n > 0 then call('ZCARD', list.key) end
  end
  return sizes
end
