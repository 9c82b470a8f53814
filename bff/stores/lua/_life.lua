-- Which life of the data this is: Redis names each stretch of writes of which none was taken back (a master's, from its
-- start or its promotion on) by a random id. In another one what was last written here may be lost.
local LIFE
local function life()
  LIFE = LIFE or string.match(redis.call('INFO', 'replication'), 'master_replid:(%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x)')
    or 'unknown'
  return LIFE
end
