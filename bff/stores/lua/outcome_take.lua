-- KEYS: outcomes of one owner. ARGV 1: ms since the event that settles them was written.
-- Uses the server's time. Removes each outcome that exists, so that one process counts it once. Returns command and ms
-- from arrival to the event of each, one after the other.
local t = redis.call('TIME')
local written = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) - tonumber(ARGV[1])
local taken = {}
for _, key in ipairs(KEYS) do
  local found = redis.call('GET', key)
  if found then
    redis.call('DEL', key)
    local arrived, command = string.match(found, '^(%d+) (.*)$')
    taken[#taken + 1] = command
    taken[#taken + 1] = math.floor(written - tonumber(arrived))
  end
end
return taken
