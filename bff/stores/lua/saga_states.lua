-- KEYS 1: open, 2: attention. Returns the number of open sagas, the ms of the oldest one's first event ('' for none),
-- and the number of those that need attention.
return {redis.call('ZCARD', KEYS[1]), redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or '', redis.call('ZCARD', KEYS[2])}
