--#include _journal
-- ARGV 9: epoch of the cursor or '', 10: its offset, 11: '1' to make an absent journal
-- Returns epoch (false: no journal), head, complete, kind, rows. Rows are entries only: a history begins at cursor + 1.
-- A history of more than WORTH bytes is replaced by the state where that is smaller. A state of more than ARGV 12 bytes
-- loses the sagas that ended longest ago, then those that changed longest ago, until it fits.
local WORTH = 65536
release_overdue(NOW - GAP)
if ARGV[11] == '1' then
  reading_epoch()
  redis.call('HSET', META, 'complete_in', replication_id())
  touch()
end
local meta = redis.call('HMGET', META, 'epoch', 'offset')
if not meta[1] then
  return {false, 0, 0, ARGV[9] == '' and 'snapshot' or 'reset', {}}
end
prune()
local head = tonumber(meta[2])
local all = complete() and 1 or 0
local kind = 'snapshot'
local history, long = nil, 0
if ARGV[9] ~= '' then
  kind = 'reset'
  local after = tonumber(ARGV[10])
  if ARGV[9] == meta[1] and after <= head then
    local log = {}
    if after < head then
      log = redis.call('XRANGE', LOG, digits(after + 1) .. '-0', '+')
    end
    if #log == head - after then
      history = {}
      for i, row in ipairs(log) do
        history[i] = row[2][2]
        long = long + #row[2][2]
      end
      if long <= WORTH then
        return {meta[1], head, all, 'history', history}
      end
    end
  end
end
local function state()
  local entries, size = {}, 0
  for _, saga in ipairs(redis.call('ZREVRANGE', ORDER, 0, SNAPSHOT - 1)) do
    local entry = redis.call('HGET', STATE, saga)
    if entry then
      entries[#entries + 1] = entry
      size = size + #entry
    end
  end
  return entries, size
end
local entries, size = state()
if size > tonumber(ARGV[12]) then
  while size > tonumber(ARGV[12]) do
    local oldest = redis.call('ZRANGE', ENDED, 0, 0)[1] or redis.call('ZRANGE', ORDER, 0, 0)[1]
    size = size - redis.call('HSTRLEN', STATE, oldest)
    forget(oldest)
  end
  entries, size = state()
end
if history and long <= size then
  return {meta[1], head, all, 'history', history}
end
return {meta[1], head, all, kind, entries}
