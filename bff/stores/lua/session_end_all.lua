-- End every session of a subject, or of a provider's session, that began before now. KEYS 1: index, 2: the time of this
-- end. ARGV 1: ms for which that time is stored at least. It is stored as long as any session of the index could last.
-- Returns the time in microseconds, because two ends and a beginning may be in the same millisecond.
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000000 + time[2])
local keep = math.max(tonumber(ARGV[1]), redis.call('PTTL', KEYS[1]), redis.call('PTTL', KEYS[2]))
redis.call('SET', KEYS[2], now, 'PX', string.format('%d', keep))
return now
