--#include _journal
-- ARGV 9: saga, 10: version, 11: ms at which it ended or 0, 12: entry
release_overdue(NOW - GAP)
local outcome = append(ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12], false)
prune()
touch()
return outcome
