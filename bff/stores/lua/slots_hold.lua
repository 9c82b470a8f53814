-- KEYS 1: the slots. ARGV 1: the cap, 2: lease ms, 3: channel, 4: publish command, 5: the calling process, 6: the
-- number of dead processes, or '' when they are not known yet; their ids; then `<opened>-<process>-<id>` of each stream
-- that needs a slot.
-- Uses the server's time. Returns {0, the other processes that hold slots} when too few slots are left and it is not
-- known which of those processes are dead; nothing has changed then. Otherwise returns {1, the evicted streams}; each
-- is also published to the channel as `end <stream>`.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local cap, lease, known_dead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[6])
local first = 7 + (known_dead or 0)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local function process(slot)
  return string.match(slot, '^%d+%-(%w+)%-')
end
local all = redis.call('ZRANGE', KEYS[1], 0, -1)
if known_dead then
  local dead = {}
  for i = 7, first - 1 do
    dead[ARGV[i]] = true
  end
  for _, slot in ipairs(all) do
    if dead[process(slot)] then
      redis.call('ZREM', KEYS[1], slot)
    end
  end
else
  local count = #all
  for i = first, #ARGV do
    if not redis.call('ZSCORE', KEYS[1], ARGV[i]) then
      count = count + 1
    end
  end
  if count > cap then
    local others, seen = {}, {[ARGV[5]] = true}
    for _, slot in ipairs(all) do
      local other = process(slot)
      if other and not seen[other] then
        seen[other] = true
        others[#others + 1] = other
      end
    end
    if #others > 0 then
      return {0, others}
    end
  end
end
for i = first, #ARGV do
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + lease), ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], lease)
local over = redis.call('ZCARD', KEYS[1]) - cap
local evicted = {}
if over > 0 then
  all = redis.call('ZRANGE', KEYS[1], 0, -1)
  table.sort(all)
  for i = 1, over do
    evicted[i] = all[i]
    redis.call('ZREM', KEYS[1], all[i])
    redis.call(ARGV[4], ARGV[3], 'end ' .. all[i])
  end
end
return {1, evicted}
