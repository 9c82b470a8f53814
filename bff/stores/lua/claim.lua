-- KEYS 1: the claim. ARGV 1: fingerprint, 2: holder, 3: lease ms, 4: ttl ms, 5: '1' when safe to run again, 6: now ms or 0
local now = tonumber(ARGV[6])
if now == 0 then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
local lease = string.format('%.0f', now + tonumber(ARGV[3]))
local claim = redis.call('HMGET', KEYS[1], 'state', 'fingerprint', 'lease')
if not claim[1] then
  redis.call('HSET', KEYS[1], 'state', 'P', 'fingerprint', ARGV[1], 'holder', ARGV[2], 'lease', lease)
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  return {'new'}
end
if claim[2] ~= ARGV[1] then
  return {'mismatch'}
end
if claim[1] == 'D' then
  return {'replay', unpack(redis.call('HMGET', KEYS[1], 'status', 'headers', 'head', 'cursor', 'tail'))}
end
if claim[1] == 'P' then
  local left = tonumber(claim[3]) - now
  if left > 0 then
    return {'busy', string.format('%.0f', left)}
  end
  if ARGV[5] == '1' then
    redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'lease', lease)
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
    return {'takeover'}
  end
  redis.call('HSET', KEYS[1], 'state', 'U')
end
return {'unknown'}
