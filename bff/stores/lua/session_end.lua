-- Remove a session. KEYS 1: record. ARGV 1: only if it still is this version, '' for any. Answers 1 when it was there.
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
