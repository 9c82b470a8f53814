--#include _replication_id
-- KEYS 1: a stream's position. Returns the position, or false, and the current replication id.
return {redis.call('GET', KEYS[1]), replication_id()}
