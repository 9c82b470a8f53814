--#include _rate
-- KEYS: buckets. ARGV: see spend.
local t = redis.call('TIME')
return spend(t[1] * 1000 + t[2] / 1000, 1, #KEYS, 1)
