-- KEYS 1: the claim. ARGV 1: holder, 2: 'heartbeat' | 'release' | 'unknown', 3: lease ms, 4: now ms or 0, 5:
-- fingerprint, 6: ttl ms
-- Only the holder of a claim may run this. A claim that Redis has lost still belongs to its holder and is written
-- again.
local claim = redis.call('HMGET', KEYS[1], 'state', 'holder')
local step = ARGV[2]
if not claim[1] then
  if step == 'release' then
    return 0
  end
  redis.call('HSET', KEYS[1], 'state', 'P', 'fingerprint', ARGV[5], 'holder', ARGV[1], 'lease', '0')
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  claim = {'P', ARGV[1]}
end
if claim[2] ~= ARGV[1] or claim[1] == 'D' then
  return 0
end
if claim[1] == 'U' then
  -- Too late: repeats may have got "unknown" already. Only the outcome itself can correct that.
  return step == 'heartbeat' and 1 or 0
end
if step == 'release' then
  redis.call('DEL', KEYS[1])
elseif step == 'unknown' then
  redis.call('HSET', KEYS[1], 'state', 'U')
else
  local now = tonumber(ARGV[4])
  if now == 0 then
    local t = redis.call('TIME')
    now = t[1] * 1000 + t[2] / 1000
  end
  redis.call('HSET', KEYS[1], 'lease', string.format('%.0f', now + ARGV[3]))
end
return 1
