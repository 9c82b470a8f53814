--#include _journal
-- ARGV 9: epoch of the cursor or '', 10: its offset, 11: '1' to make an absent journal
-- Answers epoch (false: no journal), top, whole, kind, rows. Rows are entries only: a history begins at cursor + 1.
-- A history of more than WORTH bytes is left unsaid where the state takes fewer. A state of more than ARGV 12 bytes
-- loses what ended longest ago, then what changed longest ago, until it is not larger.
local WORTH = 65536
settle(NOW - GAP)
if ARGV[11] == '1' then
  found()
  redis.call('HSET', META, 'whole', life())
  touch()
end
local meta = redis.call('HMGET', META, 'epoch', 'offset')
if not meta[1] then
  return {false, 0, 0, ARGV[9] == '' and 'snapshot' or 'reset', {}}
end
prune()
local top = tonumber(meta[2])
local all = whole() and 1 or 0
local kind = 'snapshot'
local history, long = nil, 0
if ARGV[9] ~= '' then
  kind = 'reset'
  local after = tonumber(ARGV[10])
  if ARGV[9] == meta[1] and after <= top then
    local log = {}
    if after < top then
      log = redis.call('XRANGE', LOG, digits(after + 1) .. '-0', '+')
    end
    if #log == top - after then
      history = {}
      for i, row in ipairs(log) do
        history[i] = row[2][2]
        long = long + #row[2][2]
      end
      if long <= WORTH then
        return {meta[1], top, all, 'history', history}
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
  return {meta[1], top, all, 'history', history}
end
return {meta[1], top, all, kind, entries}
