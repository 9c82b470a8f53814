-- Index a session under its provider's session id or its subject. KEYS 1: index (sorted by end).
-- ARGV 1: id, 2: lifetime ms. Only sessions that have ended are dropped. Returns the moment, microseconds.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now))
redis.call('ZADD', KEYS[1], string.format('%d', now + tonumber(ARGV[2])), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return string.format('%d', time[1] * 1000000 + time[2])
