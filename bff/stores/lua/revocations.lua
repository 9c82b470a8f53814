-- What changed since the caller's last call. KEYS 1: list, 2: version, 3: ended. ARGV 1: the version that the caller
-- has, 2: Unix ms from which ended sessions are returned.
-- Returns {now ms, version, ids that ended, list}; the list is nil when the caller has that version, otherwise it
-- alternates entry and expiry.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version = redis.call('GET', KEYS[2]) or '0'
local ended = redis.call('ZRANGEBYSCORE', KEYS[3], ARGV[2], '+inf')
local list = false
if version ~= ARGV[1] then
  list = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%d', now), '+inf', 'WITHSCORES')
end
return {string.format('%d', now), version, ended, list}
