--#include _replication_id
-- KEYS 1: a key that nothing else uses. Reads the replication id and writes a key, as all scripts do.
redis.call('SET', KEYS[1], replication_id(), 'PX', 10000)
return REPLICATION_ID
