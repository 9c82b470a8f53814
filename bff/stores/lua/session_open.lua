-- Read a session and postpone its idle end, never beyond its absolute end, in one step.
-- KEYS 1: record. ARGV 1: idle ms, '' to leave its idle end unchanged, 2: the version that the caller has, '' for none.
-- Returns nil, or {version, ends ms, sealed, began (microseconds), subject, sid}; sealed is '' when the caller has that
-- version.
local row = redis.call('HMGET', KEYS[1], 'version', 'ends', 'began', 'subject', 'sid', 'used')
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
if ARGV[1] ~= '' then
  redis.call('PEXPIREAT', KEYS[1], string.format('%d', math.min(now + tonumber(ARGV[1]), ends)))
  -- When it was used last, to the minute.
  if now - tonumber(row[6] or '0') >= 60000 then
    redis.call('HSET', KEYS[1], 'used', string.format('%d', now))
  end
end
local sealed = ''
if row[1] ~= ARGV[2] then
  sealed = redis.call('HGET', KEYS[1], 'sealed')
end
return {row[1], row[2], sealed, row[3] or '0', row[4] or '', row[5] or ''}
