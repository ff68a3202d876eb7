-- KEYS[1]; ARGV: capacity, leak, period in ms, cost. Answers {allowed, remaining, delay or retry after ms}.
local capacity, cost = tonumber(ARGV[1]), tonumber(ARGV[4])
local per_ms = tonumber(ARGV[2]) / tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local state = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = 0
if state[1] then
    level = math.max(0, tonumber(state[1]) - math.max(0, now - tonumber(state[2])) * per_ms)
end
if level + cost > capacity then
    return {0, math.max(0, math.floor(capacity - level)), math.ceil((level + cost - capacity) / per_ms)}
end
local delay = math.ceil(level / per_ms)
level = level + cost
redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'at', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(level / per_ms) + 1000)
return {1, math.floor(capacity - level), delay}
