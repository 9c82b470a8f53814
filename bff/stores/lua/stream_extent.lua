-- KEYS 1: a stream. Answers how many entries it was ever given, how many it has, and the last one's id; nothing where
-- there is no stream, or a server that does not count. Here, so that no entry travels: XINFO answers two of them whole.
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
