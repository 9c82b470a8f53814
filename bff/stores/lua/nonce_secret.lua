-- The secret of a period: the first candidate is it. KEYS 1: secret. ARGV 1: candidate, 2: keep ms.
local found = redis.call('GET', KEYS[1])
if found then
  return found
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
