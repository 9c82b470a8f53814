--#include _journal
-- KEYS 10: the claim. ARGV 9: holder, 10: ttl ms, 11: status, 12: headers, 13: head, 14: tail,
-- 15: saga or '' for none, 16: version, 17: ms at which it ended or 0, 18: entry, 19: '1' to store the version
-- unchanged, 20: fingerprint
-- A late holder may still complete a claim that is unknown or that Redis has lost: it knows the outcome. A holder whose
-- claim was taken over may not.
local CLAIM = KEYS[10]
local claim = redis.call('HMGET', CLAIM, 'state', 'holder')
if claim[1] and (claim[1] == 'D' or claim[2] ~= ARGV[9]) then
  return {0, ''}
end
local cursor = ''
local saga = ARGV[15]
if saga ~= '' then
  release_overdue(NOW - GAP)
  if last_version(saga) < 0 then
    append(saga, tonumber(ARGV[16]), tonumber(ARGV[17]), ARGV[18], ARGV[19] == '1')
  end
  local epoch = reading_epoch()
  -- The position of this saga's newest event; of a saga that left the snapshot: the head.
  local at = redis.call('ZSCORE', ORDER, saga) or redis.call('HGET', META, 'offset')
  cursor = epoch .. '-' .. digits(tonumber(at))
  prune()
  touch()
end
redis.call('HSET', CLAIM, 'state', 'D', 'fingerprint', ARGV[20], 'holder', ARGV[9], 'status', ARGV[11], 'headers', ARGV[12],
  'head', ARGV[13], 'cursor', cursor, 'tail', ARGV[14])
redis.call('HDEL', CLAIM, 'lease')
redis.call('PEXPIRE', CLAIM, ARGV[10])
return {1, cursor}
