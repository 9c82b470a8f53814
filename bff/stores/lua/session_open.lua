-- Read a session and push its idle end away, never beyond its absolute end, in one step.
-- KEYS 1: record. ARGV 1: idle ms, 2: the version the asker has, '' for none.
-- Answers nil, or {version, ends ms, sealed}; sealed is '' when the asker has that version.
local row = redis.call('HMGET', KEYS[1], 'version', 'ends')
if not row[1] or not row[2] then
  return nil
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = tonumber(row[2])
if now >= ends then
  redis.call('DEL', KEYS[1])
  return nil
end
redis.call('PEXPIREAT', KEYS[1], string.format('%d', math.min(now + tonumber(ARGV[1]), ends)))
if row[1] == ARGV[2] then
  return {row[1], row[2], ''}
end
return {row[1], row[2], redis.call('HGET', KEYS[1], 'sealed')}
