-- KEYS 1: the claim. ARGV 1: holder, 2: 'beat' | 'release' | 'unknown', 3: lease ms, 4: now ms or 0
-- Only who holds a claim in progress may do any of it.
local claim = redis.call('HMGET', KEYS[1], 'state', 'holder')
if claim[1] ~= 'P' or claim[2] ~= ARGV[1] then
  return 0
end
if ARGV[2] == 'release' then
  redis.call('DEL', KEYS[1])
elseif ARGV[2] == 'unknown' then
  redis.call('HSET', KEYS[1], 'state', 'U')
else
  local now = tonumber(ARGV[4])
  if now == 0 then
    local t = redis.call('TIME')
    now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
  end
  redis.call('HSET', KEYS[1], 'lease', string.format('%.0f', now + tonumber(ARGV[3])))
end
return 1
