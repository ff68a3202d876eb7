-- KEYS[1]; ARGV: limit, window in ms, cost. Answers {allowed, remaining, retry after ms}.
local limit, window, cost = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local used = tonumber(redis.call('GET', KEYS[1])) or 0
if used + cost > limit then
    return {0, math.max(0, limit - used), redis.call('PTTL', KEYS[1])}
end
if redis.call('INCRBY', KEYS[1], cost) == cost then
    redis.call('PEXPIRE', KEYS[1], window)
end
return {1, limit - used - cost, 0}
