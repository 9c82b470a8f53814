--#include _life
-- KEYS 1: meta, 2: waiting. Answers epoch (false: no journal), offset, 1 where it is whole in this life of the data, and
-- how many events wait.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'whole')
local whole = meta[3] and meta[3] == life() and 1 or 0
return {meta[1], meta[2] or '0', whole, redis.call('ZCARD', KEYS[2])}
