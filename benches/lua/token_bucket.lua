-- KEYS[1]; ARGV: capacity, refill, period in ms, cost. Answers {allowed, remaining, retry after ms}.
local capacity, cost = tonumber(ARGV[1]), tonumber(ARGV[4])
local per_ms = tonumber(ARGV[2]) / tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = capacity
if state[1] then
    local elapsed = math.max(0, now - tonumber(state[2]))
    tokens = math.min(capacity, tonumber(state[1]) + elapsed * per_ms)
end
if tokens < cost then
    return {0, math.floor(tokens), math.ceil((cost - tokens) / per_ms)}
end
tokens = tokens - cost
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - tokens) / per_ms) + 1000)
return {1, math.floor(tokens), 0}
