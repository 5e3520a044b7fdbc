-- Notes in `gone` the events whose id was counted before, with where.
local function find_known(keys, ids, places, gone)
  if #ids == 0 then return end
  for _, generation in ipairs(keys.ids) do
    local old = redis.call('HMGET', generation, unpack(ids))
    for i = 1, #ids do
      if old[i] and not gone[places[i]] then gone[places[i]] = old[i] end
    end
  end
end
