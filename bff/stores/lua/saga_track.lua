-- KEYS 1: open, 2: attention, 3: versions, 4: touched; all of one type of saga
-- ARGV 1: saga, 2: version, 3: ms of the event, 4: open, attention or ended, 5: 1 if the journal had it already
-- 6: ms now, 7: TTL in s, 8: sagas that are remembered
-- Returns 1 and the ms of the saga's first event ('' for none) if the event ends the saga, otherwise 0.
local saga, version = ARGV[1], tonumber(ARGV[2])
local last = redis.call('HGET', KEYS[3], saga)
if last and version <= tonumber(last) or not last and ARGV[5] == '1' then
  return {0, ''}
end
redis.call('HSET', KEYS[3], saga, ARGV[2])
redis.call('ZADD', KEYS[4], ARGV[6], saga)
local answer = {0, ''}
if ARGV[4] == 'ended' then
  answer = {1, redis.call('ZSCORE', KEYS[1], saga) or ''}
  redis.call('ZREM', KEYS[1], saga)
else
  redis.call('ZADD', KEYS[1], 'NX', ARGV[3], saga)
end
if ARGV[4] == 'attention' then
  redis.call('ZADD', KEYS[2], 'NX', ARGV[3], saga)
else
  redis.call('ZREM', KEYS[2], saga)
end
for _, old in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1 - tonumber(ARGV[8]))) do
  redis.call('HDEL', KEYS[3], old)
  redis.call('ZREM', KEYS[4], old)
  redis.call('ZREM', KEYS[1], old)
  redis.call('ZREM', KEYS[2], old)
end
for i = 1, 4 do
  redis.call('EXPIRE', KEYS[i], ARGV[7])
end
return answer
