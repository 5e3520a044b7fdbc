-- Where a profile stands in the orders, which begin at KEYS[4]: members, all of score 0.
local function places_of(subject, profile)
  return {
    subject, profile[PROFILE_EMAIL_KEY] .. '\0' .. subject, profile[PROFILE_USERNAME_KEY] .. '\0' .. subject,
    struct.pack('>I7', profile[PROFILE_CREATED] + CREATED_OFFSET_MS) .. subject,
  }
end
