-- Whether something is counted in a record or an entry of `use`: its events, or what stands at `first` and every
-- `step` places behind it. Both may be below 0 where data were damaged once.
local function still_counts(values, events, first, step)
  for q = first, values and #values or 0, step do
    if values[q] ~= 0 then return true end
  end
  return values and values[events] ~= 0
end
