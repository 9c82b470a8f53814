--#include _journal
-- KEYS 10: the claim. ARGV 8: holder, 9: ttl ms, 10: status, 11: headers, 12: head, 13: tail,
-- 14: saga or '' for none, 15: version, 16: ms at which it ended or 0, 17: entry, 18: '1' to take the version as it is
-- 19: fingerprint
-- A late holder may still settle a claim that was called unknown, or that Redis has lost: it knows the outcome. One that
-- was taken over may not.
local CLAIM = KEYS[10]
local claim = redis.call('HMGET', CLAIM, 'state', 'holder')
if claim[1] and (claim[1] == 'D' or claim[2] ~= ARGV[8]) then
  return {0, ''}
end
local cursor = ''
local saga = ARGV[14]
if saga ~= '' then
  settle(NOW - GAP)
  if last_version(saga) < 0 then
    append(saga, tonumber(ARGV[15]), tonumber(ARGV[16]), ARGV[17], ARGV[18] == '1')
  end
  local epoch = ensure()
  -- The position of this saga's newest event; a saga no longer in the snapshot is covered by the top.
  local at = redis.call('ZSCORE', ORDER, saga) or redis.call('HGET', META, 'offset')
  cursor = epoch .. '-' .. digits(tonumber(at))
  prune()
  touch()
end
redis.call('HSET', CLAIM, 'state', 'D', 'fingerprint', ARGV[19], 'holder', ARGV[8], 'status', ARGV[10], 'headers', ARGV[11],
  'head', ARGV[12], 'cursor', cursor, 'tail', ARGV[13])
redis.call('HDEL', CLAIM, 'lease')
redis.call('PEXPIRE', CLAIM, ARGV[9])
return {1, cursor}
