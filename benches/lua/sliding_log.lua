-- KEYS[1]; ARGV: limit, window in ms, cost. Answers {allowed, remaining, retry after ms}.
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - window * 1000))
local used = redis.call('ZCARD', KEYS[1])
if used + cost > limit then
    local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
    local wait = oldest[2] and math.ceil((oldest[2] + window * 1000 - now) / 1000) or -1
    return {0, math.max(0, limit - used), wait}
end
local score = string.format('%.0f', now)
for unit = 1, cost do
    redis.call('ZADD', KEYS[1], score, score .. '-' .. used + unit)
end
redis.call('PEXPIRE', KEYS[1], window)
return {1, limit - used - cost, 0}
