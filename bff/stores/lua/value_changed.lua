-- KEYS 1: the value. Its data has changed at its service, and nobody has asked for the new data: the
-- stored version is not used until value_put stores a newer one or the same one from a load. Returns
-- 1 when there is a stored version.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'changed', 1)
return 1
