-- KEYS 1: the value. ARGV 1: version, 2: payload without mutations, 3: ttl seconds, 4: channel,
-- 5: publish command, 6: most mutations kept, 7: 1 where the service names mutations, 8 and on:
-- the mutations. Where ARGV 7 is 'loaded' the service was just asked. Returns 1 when this version is
-- newer than the stored one. A version that is not newer only adds its mutations: the stored version
-- contains its commands, too. A payload that says that the value is gone is newer than its version,
-- and only a value that was just loaded, or a higher version, is newer than that. A value that was just
-- loaded is also newer than the same version where that is marked as changed (value_changed).
local stored = redis.call('HMGET', KEYS[1], 'version', 'payload', 'mutations', 'changed')
local GONE = ',"gone":true}'
local function is_gone(payload)
  return payload and string.sub(payload, -#GONE) == GONE or false
end
local ends, ended = is_gone(ARGV[2]), is_gone(stored[2])
local newer = not stored[1] or tonumber(stored[1]) < tonumber(ARGV[1])
if not newer and tonumber(stored[1]) == tonumber(ARGV[1]) then
  newer = (ends and not ended) or (ARGV[7] == 'loaded' and (ended or stored[4]))
end
if (ends or ended) and not newer then
  return 0
end
local mutations = stored[3]
if ends then
  redis.call('HDEL', KEYS[1], 'mutations')
  mutations = nil
end
local more = false
if ARGV[7] == '1' then
  local kept = {}
  for one in string.gmatch(mutations or '', '[^,]+') do
    kept[#kept + 1] = one
  end
  for at = 8, #ARGV do
    local one = '"' .. ARGV[at] .. '"'
    if not string.find(mutations or '', one, 1, true) then
      kept[#kept + 1] = one
      more = true
    end
  end
  mutations = table.concat(kept, ',', math.max(1, #kept - tonumber(ARGV[6]) + 1))
end
if not newer and not more then
  return 0
end
local version = newer and ARGV[1] or stored[1]
local payload = newer and ARGV[2] or stored[2]
redis.call('HSET', KEYS[1], 'version', version, 'payload', payload)
if newer then
  redis.call('HDEL', KEYS[1], 'changed')
end
if mutations then
  redis.call('HSET', KEYS[1], 'mutations', mutations)
  payload = string.sub(payload, 1, -2) .. ',"mutations":[' .. mutations .. ']}'
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call(ARGV[5], ARGV[4], version .. ' ' .. payload)
return newer and 1 or 0
