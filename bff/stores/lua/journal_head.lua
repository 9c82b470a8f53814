--#include _replication_id
-- KEYS 1: meta, 2: waiting. Returns epoch (false: no journal), offset, 1 if it is complete under the current
-- replication id, and how many events wait.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'complete_in')
local complete = meta[3] and meta[3] == replication_id() and 1 or 0
return {meta[1], meta[2] or '0', complete, redis.call('ZCARD', KEYS[2])}
