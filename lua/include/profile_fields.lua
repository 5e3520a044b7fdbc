-- Fields of a profile: who a subject is. PROFILE_KIND is 1 for a user, 2 for a guest; flags are 0 or 1;
-- times are ms; a text that is not there is empty. The keys are what the text before them is found by.
local PROFILE_KIND, PROFILE_ACTIVE, PROFILE_DEMO, PROFILE_CREATED, PROFILE_UPDATED, PROFILE_ROLE = 1, 2, 3, 4, 5, 6
local PROFILE_USERNAME, PROFILE_USERNAME_KEY, PROFILE_EMAIL, PROFILE_EMAIL_KEY = 7, 8, 9, 10
local PROFILE_PHONE, PROFILE_PHONE_KEY, PROFILE_FULL_NAME = 11, 12, 13
local USER = 1
-- Makes every time that can be written one above 0.
local CREATED_OFFSET_MS = 63000000000000
-- So many subjects of a workspace may be in demo mode: a leaderboard looks at each of them when it is read.
local DEMO_MAX = 1000
