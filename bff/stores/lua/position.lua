--#include _life
-- KEYS 1: a stream's position. Answers the place there, or false, and which life of the data this is.
return {redis.call('GET', KEYS[1]), life()}
