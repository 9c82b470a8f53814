-- Append an entry to a stream with a bounded length and a TTL. ARGV 1: length, 2: seconds, 3…: fields.
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[2])
