-- Store a new session. KEYS 1: record. ARGV 1: sealed, 2: lifetime ms, 3: idle ms, 4: when it began (microseconds),
-- 5: hash of its subject, 6: hash of its provider's session, '' for none, 7: rough name of the browser.
-- Returns the time at which it ends, ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = now + tonumber(ARGV[2])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'sealed', ARGV[1], 'version', 1, 'ends', string.format('%d', ends), 'began', ARGV[4],
  'subject', ARGV[5], 'sid', ARGV[6], 'browser', ARGV[7], 'used', string.format('%d', now))
redis.call('PEXPIREAT', KEYS[1], string.format('%d', math.min(now + tonumber(ARGV[3]), ends)))
return string.format('%d', ends)
