-- KEYS 1: the outcome, 2: the stream slots of its owner.
-- Uses the server's time. Removes the outcome. Returns -1 when it was settled before, otherwise the number of open
-- streams of its owner, on all gateways.
if redis.call('DEL', KEYS[1]) == 0 then
  return -1
end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
return redis.call('ZCOUNT', KEYS[2], string.format('(%.0f', now), '+inf')
