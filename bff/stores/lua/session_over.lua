-- Everything that began up to now under a subject, or under a provider's session, is over. KEYS 1: index, 2: the moment.
-- ARGV 1: ms the moment is kept at least. It is kept as long as any session of the index could last. Answers the moment,
-- microseconds: two ends and a beginning may share a millisecond.
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000000 + time[2])
local keep = math.max(tonumber(ARGV[1]), redis.call('PTTL', KEYS[1]), redis.call('PTTL', KEYS[2]))
redis.call('SET', KEYS[2], now, 'PX', string.format('%d', keep))
return now
