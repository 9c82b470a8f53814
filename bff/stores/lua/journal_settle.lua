--#include _journal
settle(NOW - GAP)
prune()
return redis.call('ZCARD', WAITING)
