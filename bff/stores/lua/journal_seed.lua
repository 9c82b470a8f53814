--#include _journal
-- ARGV 9…: for each saga, oldest first: saga, version, ms at which it ended or 0, entry.
-- Only a journal that is not whole is seeded: two processes may have asked the service at once. What ended too long ago
-- for the snapshot is news only to a journal that believes it open.
if whole() then
  return 0
end
found()
for i = 9, #ARGV, 4 do
  local ended = tonumber(ARGV[i + 2])
  if ended == 0 or ended > NOW - KEEP or redis.call('HEXISTS', STATE, ARGV[i]) == 1 then
    append(ARGV[i], tonumber(ARGV[i + 1]), ended, ARGV[i + 3], true)
  end
end
redis.call('HSET', META, 'whole', life())
prune()
touch()
return 1
