--#include _replication_id
-- KEYS 1: a stream's position. ARGV 1: the replication id under which it was loaded, 2: the position to save,
-- 3: ttl seconds. Returns 0 under another id: effects of events before this position may be lost.
if replication_id() ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
