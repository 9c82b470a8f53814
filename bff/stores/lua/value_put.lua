-- KEYS 1: the value. ARGV 1: version, 2: payload, 3: ttl seconds, 4: channel, 5: publish
-- command. Returns 1 when this version is newer than the stored one.
local known = redis.call('HGET', KEYS[1], 'version')
if known and tonumber(known) >= tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'payload', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call(ARGV[5], ARGV[4], ARGV[1] .. ' ' .. ARGV[2])
return 1
