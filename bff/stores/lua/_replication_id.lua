-- replication_id(): the random id of the server's current history of writes (half of `master_replid`). It changes with
-- each start and each promotion; under another id, data that was written before may be lost. A server that refuses INFO
-- has the id 'unknown' for ever: its losses cannot be noticed.
local REPLICATION_ID
local function replication_id()
  if not REPLICATION_ID then
    local info = redis.pcall('INFO', 'replication')
    REPLICATION_ID = type(info) == 'string'
      and string.match(info, 'master_replid:(%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x)')
      or 'unknown'
  end
  return REPLICATION_ID
end
