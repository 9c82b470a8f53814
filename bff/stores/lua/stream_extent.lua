-- KEYS 1: a stream. Returns how many entries were ever added, how many it has, and the last id; nothing if there is no
-- stream, or the server does not count. A script, so that no entry is sent: XINFO STREAM returns two whole entries.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {}
end
local info, words = {}, redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #words, 2 do
  info[words[i]] = words[i + 1]
end
if not info['entries-added'] then
  return {}
end
return {info['entries-added'], info['length'], info['last-generated-id']}
