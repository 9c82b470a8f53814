-- KEYS 1: the seats. ARGV 1: how many there are, 2: lease ms, 3: channel, 4: what publishes there,
-- 5…: `<opened>-<id>` of each stream to seat.
-- Time is the server's own. Answers those that gave way, each published to the channel as `end <opened>-<id>` as well.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local lease = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
for i = 5, #ARGV do
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + lease), ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], lease)
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
local gone = {}
if over > 0 then
  local all = redis.call('ZRANGE', KEYS[1], 0, -1)
  table.sort(all)
  for i = 1, over do
    gone[i] = all[i]
    redis.call('ZREM', KEYS[1], all[i])
    redis.call(ARGV[4], ARGV[3], 'end ' .. all[i])
  end
end
return gone
