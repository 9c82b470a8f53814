-- Add a revocation. KEYS 1: list (sorted by expiry), 2: version.
-- ARGV 1: entry, 2: '1' to append the current moment to it, 3: keep ms, 4: most entries. Returns 0 when the list is
-- full.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then
  return 0
end
local member = ARGV[1]
if ARGV[2] == '1' then
  member = member .. ':' .. string.format('%d', now)
end
redis.call('ZADD', KEYS[1], 'GT', string.format('%d', now + tonumber(ARGV[3])), member)
-- Unique, even after Redis lost all data.
redis.call('SET', KEYS[2], string.format('%d%06d', time[1], time[2]))
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', key, ARGV[3])
  end
end
return 1
