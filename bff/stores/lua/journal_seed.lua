--#include _journal
-- ARGV 9…: for each saga, oldest first: saga, version, ms at which it ended or 0, entry.
-- Only a journal that is not whole is seeded: two processes may have asked the service at once.
if whole() then
  return 0
end
found()
for i = 9, #ARGV, 4 do
  append(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 3], true)
end
redis.call('HSET', META, 'whole', life())
prune()
touch()
return 1
