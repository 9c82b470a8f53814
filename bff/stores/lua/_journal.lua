--#include _replication_id
-- The common part of every script that uses an owner's journal. Included, never run alone.
-- KEYS 1-9 and ARGV 1-8 are the same for all of them; a script's own start at KEYS[10] and ARGV[9].
local META, LOG, STATE, ORDER, ENDED = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local VERSIONS, TOUCHED, PARKED, WAITING = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local CHANNEL = ARGV[1]
local NOW = tonumber(ARGV[2])
local CANDIDATE = ARGV[3]
local HISTORY, KEEP, TTL, GAP = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local PUBLISH = ARGV[8]
local SNAPSHOT, REMEMBERED, HELD = 100, 1000, 256

if NOW == 0 then
  local t = redis.call('TIME')
  NOW = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function digits(number)
  return string.format('%.0f', number)
end

local function touch()
  for i = 1, 9 do
    redis.call('EXPIRE', KEYS[i], TTL)
  end
end

-- Whether the journal has everything that its services know, under the current replication id.
local function complete()
  return redis.call('HGET', META, 'complete_in') == replication_id()
end

-- The epoch to write in. It changes with the replication id, so that no position that was handed out and lost is
-- handed out again. Without a counter, offsets start again.
local function writing_epoch()
  local meta = redis.call('HMGET', META, 'epoch', 'replication_id')
  if meta[1] and meta[2] == replication_id() then
    return meta[1]
  end
  redis.call('DEL', LOG)
  redis.call('HSET', META, 'epoch', CANDIDATE, 'replication_id', replication_id())
  if not meta[1] then
    redis.call('DEL', ORDER)
    redis.call('HSET', META, 'offset', '0')
    for _, saga in ipairs(redis.call('HKEYS', STATE)) do
      redis.call('ZADD', ORDER, 0, saga)
    end
  end
  return CANDIDATE
end

-- The epoch to read in: the one of the last write, under any replication id.
local function reading_epoch()
  return redis.call('HGET', META, 'epoch') or writing_epoch()
end

local function forget(saga)
  redis.call('HDEL', STATE, saga)
  redis.call('ZREM', ORDER, saga)
  redis.call('ZREM', ENDED, saga)
end

local function last_version(saga)
  return tonumber(redis.call('HGET', VERSIONS, saga) or '-1')
end

local function prune()
  for _, saga in ipairs(redis.call('ZRANGEBYSCORE', ENDED, '-inf', digits(NOW - KEEP))) do
    forget(saga)
  end
  while redis.call('ZCARD', ORDER) > SNAPSHOT do
    local oldest = redis.call('ZRANGE', ENDED, 0, 0)[1] or redis.call('ZRANGE', ORDER, 0, 0)[1]
    forget(oldest)
  end
  while redis.call('ZCARD', TOUCHED) > REMEMBERED do
    local oldest = redis.call('ZRANGE', TOUCHED, 0, 0)[1]
    redis.call('ZREM', TOUCHED, oldest)
    redis.call('HDEL', VERSIONS, oldest)
    forget(oldest)
  end
end

-- Append one event, whatever its version.
local function put(saga, version, ended, entry)
  local epoch = writing_epoch()
  local offset = redis.call('HINCRBY', META, 'offset', 1)
  local id = digits(offset)
  local written = redis.pcall('XADD', LOG, 'MAXLEN', '=', HISTORY, id .. '-0', 'e', entry)
  if type(written) == 'table' and written.err then
    -- The log is ahead of its counter: part of the data was lost. The log may have gaps, so it is dropped.
    redis.call('DEL', LOG)
    redis.call('XADD', LOG, id .. '-0', 'e', entry)
  end
  redis.call('HSET', STATE, saga, entry)
  redis.call('ZADD', ORDER, offset, saga)
  if ended > 0 then
    redis.call('ZADD', ENDED, digits(ended), saga)
  else
    redis.call('ZREM', ENDED, saga)
  end
  redis.call('HSET', VERSIONS, saga, digits(version))
  redis.call('ZADD', TOUCHED, digits(NOW), saga)
  redis.call(PUBLISH, CHANNEL, epoch .. '-' .. id .. ' ' .. entry)
end

local function unpark(saga, version)
  local member = saga .. '|' .. digits(version)
  local parked = redis.call('HGET', PARKED, member)
  redis.call('HDEL', PARKED, member)
  redis.call('ZREM', WAITING, member)
  if parked and version > last_version(saga) then
    local ended, entry = string.match(parked, '^(%d+) (.*)$')
    put(saga, version, tonumber(ended), entry)
  end
end

-- Append the parked events that follow directly.
local function flush(saga)
  while true do
    local following = last_version(saga) + 1
    if redis.call('HEXISTS', PARKED, saga .. '|' .. digits(following)) == 0 then
      return
    end
    unpark(saga, following)
  end
end

-- Append parked events that have waited since `cutoff` or longer, the lower versions of a saga first.
local function release_overdue(cutoff)
  local due = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', WAITING, '-inf', digits(cutoff))) do
    local saga, version = string.match(member, '^(.*)|(%d+)$')
    due[saga] = math.max(due[saga] or 0, tonumber(version))
  end
  if next(due) == nil then
    return
  end
  local parked = {}
  for _, member in ipairs(redis.call('ZRANGE', WAITING, 0, -1)) do
    local saga, version = string.match(member, '^(.*)|(%d+)$')
    if due[saga] and tonumber(version) <= due[saga] then
      parked[#parked + 1] = {saga, tonumber(version)}
    end
  end
  table.sort(parked, function(a, b)
    if a[1] == b[1] then
      return a[2] < b[2]
    end
    return a[1] < b[1]
  end)
  for _, event in ipairs(parked) do
    unpark(event[1], event[2])
    flush(event[1])
  end
  touch()
end

-- Returns 'appended', 'repeat' or 'held'. Versions of a saga count from 1; 0 is the gateway's own PENDING event.
local function append(saga, version, ended, entry, force)
  local last = last_version(saga)
  if version <= last then
    return 'repeat'
  end
  if force or version == last + 1 or (last < 0 and version == 1) then
    put(saga, version, ended, entry)
    flush(saga)
    return 'appended'
  end
  local member = saga .. '|' .. digits(version)
  if redis.call('HSETNX', PARKED, member, digits(ended) .. ' ' .. entry) == 1 then
    redis.call('ZADD', WAITING, digits(NOW), member)
  end
  while redis.call('ZCARD', WAITING) > HELD do
    release_overdue(tonumber(redis.call('ZRANGE', WAITING, 0, 0, 'WITHSCORES')[2]))
  end
  return 'held'
end
