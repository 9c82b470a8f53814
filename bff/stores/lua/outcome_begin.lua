-- KEYS 1: the outcome. ARGV 1: its command, 2: ms since the command arrived, 3: TTL in ms.
-- Uses the server's time.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', now - tonumber(ARGV[2])) .. ' ' .. ARGV[1], 'PX', ARGV[3])
return 1
