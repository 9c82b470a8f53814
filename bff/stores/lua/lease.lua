-- KEYS 1: the lease. ARGV 1: holder, 2: ms, 0 to release. Returns 1 when it is (or was) the holder's.
local holder = redis.call('GET', KEYS[1])
if tonumber(ARGV[2]) == 0 then
  if holder ~= ARGV[1] then
    return 0
  end
  redis.call('DEL', KEYS[1])
  return 1
end
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
