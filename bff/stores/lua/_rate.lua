-- GCRA over several buckets, all or nothing. Included, never run alone.
-- spend(now, first, count, at): the buckets' keys begin at KEYS[first]; ARGV[at] on: for each its interval and its
-- window, ms. Returns 1 or 0, then for each bucket how many microseconds its arrival time lies ahead.
local function spend(now, first, count, at)
  local ahead, fits = {}, 1
  for i = 1, count do
    local arrival = tonumber(redis.call('GET', KEYS[first + i - 1]) or '0')
    ahead[i] = arrival > now and arrival - now or 0
    if ahead[i] + 0.75 * ARGV[at + 2 * i - 2] > tonumber(ARGV[at + 2 * i - 1]) then
      fits = 0
    end
  end
  local answer = {fits}
  for i = 1, count do
    if fits == 1 then
      ahead[i] = ahead[i] + ARGV[at + 2 * i - 2]
      redis.call('SET', KEYS[first + i - 1], string.format('%.6f', now + ahead[i]), 'PX', math.ceil(ahead[i]))
    end
    answer[i + 1] = math.floor(ahead[i] * 1000)
  end
  return answer
end
