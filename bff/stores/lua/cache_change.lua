-- KEYS 1: a hash of names and the stamps of their last change. ARGV 1: ttl seconds, 2: channel, 3: the message after
-- the stamp, 4…: names. Returns the stamp: microseconds of this server's clock, above every earlier one here.
local now = redis.call('TIME')
local stamp = now[1] * 1000000 + now[2]
for index = 4, #ARGV do
  local known = tonumber(redis.call('HGET', KEYS[1], ARGV[index]) or '0')
  if known >= stamp then
    stamp = known + 1
  end
end
local text = string.format('%.0f', stamp)
for index = 4, #ARGV do
  redis.call('HSET', KEYS[1], ARGV[index], text)
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[2], text .. ' ' .. ARGV[3])
return text
