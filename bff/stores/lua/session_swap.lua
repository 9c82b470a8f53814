-- Replace the version that tokens were refreshed from, and release the lock.
-- KEYS 1: record, 2: lock. ARGV 1: version replaced, 2: sealed, 3: holder. Returns 1, or 0 when the version has changed
-- or the session has ended (it must not be created again).
if redis.call('GET', KEYS[2]) == ARGV[3] then
  redis.call('DEL', KEYS[2])
end
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'sealed', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'version', 1)
return 1
