-- Delete a session. KEYS 1: record. ARGV 1: the version that it must have, '' for any.
-- Returns nil when there is no such session, otherwise {sealed, subject, sid}.
local row = redis.call('HMGET', KEYS[1], 'version', 'sealed', 'subject', 'sid')
if not row[1] or (ARGV[1] ~= '' and row[1] ~= ARGV[1]) then
  return nil
end
redis.call('DEL', KEYS[1])
return {row[2] or '', row[3] or '', row[4] or ''}
