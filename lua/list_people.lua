#!lua flags=no-writes
--[[
  list_people: some profiles in one of their orders, behind a place in it.

  KEYS     the order, people; subjects, if their last events are asked for
  ARGV     member behind which to begin ('': at the start), most profiles, what stands before the subject
           in a member: 'nothing', 'text' (up to a zero byte) or 'time' (7 bytes); 'down' to go backwards
  Returns  flat, per profile: member, subject, profile, time of its last event in ms (0: none known)
  Time     O(log profiles + most)
]]
--@constants constants

local call, rule = redis.call, ARGV[3]
local walk, start, finish = 'ZRANGEBYLEX', '-', '+'
if ARGV[4] == 'down' then walk, start, finish = 'ZREVRANGEBYLEX', '+', '-' end
local members = call(walk, KEYS[1], ARGV[1] == '' and start or '(' .. ARGV[1], finish, 'LIMIT', 0, ARGV[2])
if #members == 0 then return {} end
local subjects = {}
for i, member in ipairs(members) do
  local from = 1
  if rule == 'text' then from = string.find(member, '\0', 1, true) + 1 elseif rule == 'time' then from = 8 end
  subjects[i] = string.sub(member, from)
end
local profiles = call('HMGET', KEYS[2], unpack(subjects))
local records = KEYS[3] and call('HMGET', KEYS[3], unpack(subjects)) or {}
local listed, n = {}, 0
for i, member in ipairs(members) do
  local last = records[i] and cmsgpack.unpack(records[i])[LAST] or 0
  listed[n + 1], listed[n + 2], listed[n + 3] = member, subjects[i], profiles[i] or ''
  listed[n + 4], n = string.format('%.0f', last), n + 4
end
return listed
