-- replication_id(): the random id of the server's current history of writes (half of `master_replid`). It changes with
-- each start and each promotion; under another id, data that was written before may be lost.
local REPLICATION_ID
local function replication_id()
  REPLICATION_ID = REPLICATION_ID
    or string.match(redis.call('INFO', 'replication'), 'master_replid:(%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x)')
    or 'unknown'
  return REPLICATION_ID
end
