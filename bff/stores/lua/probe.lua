--#include _replication_id
-- KEYS 1: a key without another use. Does what every script does: reads the replication id and writes.
redis.call('SET', KEYS[1], replication_id(), 'PX', 10000)
return REPLICATION_ID
