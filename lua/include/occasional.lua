-- Closures are made anew in each call. So what only few batches need is made when they do.
local function code_of_exclusion()
--@include exclude_events
  return exclude_events
end
local function code_of_parts()
--@include rank
--@include leave_day
--@include add_late
--@include add_part
  return add_part
end
local function code_of_counting()
--@include exclude_uncounted
  return exclude_uncounted
end
local function code_of_bounds()
--@include bound_day
  return bound_day
end
local function code_of_merged(is_erasing)
--@include find_merged
  return is_erasing and names_subject or find_merged
end
local function code_of_decisions()
--@include accounts
--@include bring_up
--@include limits
--@include usage_of
--@include use_limit
--@include judge
--@include holds
--@include settle_hold
--@include administer
--@include open_account
--@include context
  local function code_of_alerts()
--@include tell
--@include judge_alerts
    return new_alerts
  end
  local function code_of_merging()
--@include merge_guest
    return merge_guest
  end
  local function undo(context, account, decision)
--@include give_back
    return give_back(context, account, decision)
  end
--@include decide
  return {
    new = new_context, decide = decide, is_changed = is_changed, ledger_of = ledger_of,
    write = write_decisions, alerts = code_of_alerts,
  }
end
