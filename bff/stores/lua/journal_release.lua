--#include _journal
release_overdue(NOW - GAP)
prune()
return redis.call('ZCARD', WAITING)
