-- An entry at the end of a stream that is kept short, and for so long. ARGV: length, seconds, fields.
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[2])
