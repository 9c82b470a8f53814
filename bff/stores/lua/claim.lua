--#include _rate
-- KEYS 1: the claim; then the buckets that a new command spends, then those that a repeat spends.
-- ARGV 1: fingerprint, 2: holder, 3: lease ms, 4: ttl ms, 5: '1' when safe to run again, 6: now ms or 0,
-- 7, 8: how many buckets of either kind, 9: a holder whose process has ended or '' for none; 10 on: see spend.
-- Returns the answer of spend, the result, and its details. A command that a limit refuses changes nothing else.
local now = tonumber(ARGV[6])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + t[2] / 1000
end
local lease = string.format('%.0f', now + ARGV[3])
local claim = redis.call('HMGET', KEYS[1], 'state', 'fingerprint', 'lease', 'holder')
local same = claim[2] == ARGV[1]
local left = claim[1] == 'P' and claim[3] - now or 0
if ARGV[5] == '1' and ARGV[9] ~= '' and claim[4] == ARGV[9] then
  left = 0
end
local over = claim[1] == 'P' and same and left <= 0
if over and ARGV[5] ~= '1' then
  redis.call('HSET', KEYS[1], 'state', 'U')
  claim[1] = 'U'
end
local new_buckets = tonumber(ARGV[7])
if not claim[1] or claim[1] == 'P' and over then
  local spent = spend(now, 2, new_buckets, 10)
  if spent[1] == 0 then
    return {spent, 'limited'}
  end
  if over then
    redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'lease', lease)
  else
    redis.call('HSET', KEYS[1], 'state', 'P', 'fingerprint', ARGV[1], 'holder', ARGV[2], 'lease', lease)
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  return {spent, over and 'takeover' or 'new'}
end
local spent = spend(now, 2 + new_buckets, tonumber(ARGV[8]), 10 + 2 * new_buckets)
if spent[1] == 0 then
  return {spent, 'repeats-limited'}
end
if not same then
  return {spent, 'mismatch'}
end
if claim[1] == 'D' then
  return {spent, 'replay', unpack(redis.call('HMGET', KEYS[1], 'status', 'headers', 'head', 'cursor', 'tail'))}
end
if claim[1] == 'P' then
  return {spent, 'busy', string.format('%.0f', left), claim[4]}
end
return {spent, 'unknown'}
