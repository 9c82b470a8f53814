--#include _journal
-- ARGV 8: saga, 9: version, 10: ms at which it ended or 0, 11: entry
settle(NOW - GAP)
local outcome = append(ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11], false)
prune()
touch()
return outcome
