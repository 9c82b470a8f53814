--#include _journal
-- ARGV 9…: for each saga, oldest first: saga, version, ms at which it ended or 0, entry.
-- Only an incomplete journal is seeded, because two processes may restore it at the same time. A saga that ended too
-- long ago for the snapshot is stored only if the journal still has it as open.
if complete() then
  return 0
end
reading_epoch()
for i = 9, #ARGV, 4 do
  local ended = tonumber(ARGV[i + 2])
  if ended == 0 or ended > NOW - KEEP or redis.call('HEXISTS', STATE, ARGV[i]) == 1 then
    append(ARGV[i], tonumber(ARGV[i + 1]), ended, ARGV[i + 3], true)
  end
end
redis.call('HSET', META, 'complete_in', replication_id())
prune()
touch()
return 1
