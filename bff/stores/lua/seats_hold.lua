-- KEYS 1: the seats. ARGV 1: how many there are, 2: lease ms, 3: channel, 4: what publishes there, 5: who asks,
-- 6: how many processes are known to be dead, or '' when that has not been asked; those; then
-- `<opened>-<process>-<id>` of each stream to seat.
-- Time is the server's own. Answers {0, the other processes that hold seats} when too few are left and nobody has
-- asked whether those live, and has changed nothing then; else {1, those that gave way}, each published to the channel
-- as `end <seat>` as well.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local cap, lease, asked = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[6])
local first = 7 + (asked or 0)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local function process(seat)
  return string.match(seat, '^%d+%-(%w+)%-')
end
local all = redis.call('ZRANGE', KEYS[1], 0, -1)
if asked then
  local dead = {}
  for i = 7, first - 1 do
    dead[ARGV[i]] = true
  end
  for _, seat in ipairs(all) do
    if dead[process(seat)] then
      redis.call('ZREM', KEYS[1], seat)
    end
  end
else
  local count = #all
  for i = first, #ARGV do
    if not redis.call('ZSCORE', KEYS[1], ARGV[i]) then
      count = count + 1
    end
  end
  if count > cap then
    local others, seen = {}, {[ARGV[5]] = true}
    for _, seat in ipairs(all) do
      local other = process(seat)
      if other and not seen[other] then
        seen[other] = true
        others[#others + 1] = other
      end
    end
    if #others > 0 then
      return {0, others}
    end
  end
end
for i = first, #ARGV do
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + lease), ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], lease)
local over = redis.call('ZCARD', KEYS[1]) - cap
local gone = {}
if over > 0 then
  all = redis.call('ZRANGE', KEYS[1], 0, -1)
  table.sort(all)
  for i = 1, over do
    gone[i] = all[i]
    redis.call('ZREM', KEYS[1], all[i])
    redis.call(ARGV[4], ARGV[3], 'end ' .. all[i])
  end
end
return {1, gone}
