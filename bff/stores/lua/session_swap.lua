-- Put refreshed tokens in place of the version they were made from, and give the lock back.
-- KEYS 1: record, 2: lock. ARGV 1: version replaced, 2: sealed, 3: holder. Answers 1, or 0 when it is another version
-- by now or the session has ended (which must not bring it back to life).
if redis.call('GET', KEYS[2]) == ARGV[3] then
  redis.call('DEL', KEYS[2])
end
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'sealed', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'version', 1)
return 1
