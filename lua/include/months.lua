-- When the month of an account with this anchor began, and when the next one does.
local function month_of(rules, anchor)
  return struct.unpack('>I6I6', rules.resets, (anchor - 1) * 12 + 1)
end

-- The month, counted from the year 0, and the day of the month of a day counted from 1970-01-01. Years
-- begin in March here, so that a leap day is the last (H. Hinnant, chrono-compatible low-level date
-- algorithms).
local function date_of(day)
  day = day + 719468
  local era = math.floor(day / 146097)
  local of_era = day - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
    - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  return (era * 400 + year) * 12 + month + 2, of_year - math.floor((153 * month + 2) / 5) + 1
end

-- How many resets of an account with this anchor there are behind that at `due`, up to that at `began`,
-- with which the month that runs began. Days begin at other instants than those of UTC: they are
-- counted from the first of this month, which is known. It begins less than 15 hours before and after
-- that of UTC; other days as many times 24 hours from it, but for few: what the zone's clocks moved.
local function months_behind(rules, anchor, due, began)
  local first = month_of(rules, 1)
  local number = math.floor((first + 15 * 3600000) / DAY_MS)
  local month, day = date_of(number)
  if began < first then month = month - 1 end
  -- The earliest day that such a reset can have.
  local from, from_day = date_of(number - day + 1 + math.floor((due - first) / DAY_MS + 0.5) + 1)
  return month - from + (anchor >= from_day and 1 or 0)
end
