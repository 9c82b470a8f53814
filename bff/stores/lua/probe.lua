--#include _life
-- KEYS 1: a key of no other use. Does what every script does: answers which life of the data it is, and writes.
redis.call('SET', KEYS[1], life(), 'PX', 10000)
return LIFE
