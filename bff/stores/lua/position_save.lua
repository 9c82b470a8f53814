--#include _life
-- KEYS 1: a stream's position. ARGV 1: the life it was read in, 2: the place to save, 3: ttl seconds.
-- Answers 0 in another life: effects of what lies before this place may be lost.
if life() ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
