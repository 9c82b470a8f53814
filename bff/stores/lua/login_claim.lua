-- The answer to a sign-in is used once. KEYS 1: claim. ARGV 1: holder, 2: keep ms.
-- Returns the moment, microseconds, or nil when it was used before.
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return nil
end
local time = redis.call('TIME')
return string.format('%d', time[1] * 1000000 + time[2])
