-- KEYS[1]; ARGV: limit, window in ms, cost. Answers {allowed, remaining, retry after ms}.
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local elapsed = now % window
local start = now - elapsed
local state = redis.call('HMGET', KEYS[1], 'start', 'here', 'before')
local here, before = 0, 0
if state[1] then
    local windows = (start - tonumber(state[1])) / window
    if windows == 0 then
        here, before = tonumber(state[2]), tonumber(state[3])
    elseif windows == 1 then
        before = tonumber(state[2])
    end
end
local used = before * (window - elapsed) / window + here
if used + cost > limit then
    return {0, math.max(0, math.floor(limit - used)), window - elapsed}
end
redis.call('HSET', KEYS[1], 'start', start, 'here', here + cost, 'before', before)
redis.call('PEXPIREAT', KEYS[1], start + 2 * window)
return {1, math.floor(limit - used - cost), 0}
