"""What must happen in Redis as one step. KEYS: the prefix of all keys, and the request's id."""

COMMON = """
local P, id = KEYS[1], KEYS[2]
local job, leases = P .. ':job:' .. id, P .. ':leases'
local function now()
    local t = redis.call('TIME')
    return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
local function over(key) return redis.call('HEXISTS', key, 'over') == 1 end
local function mine(attempt) return redis.call('HGET', job, 'attempt') == attempt and not over(job) end
local function number(key, field) return tonumber(redis.call('HGET', key, field) or '0') end
local function enqueue(model, class, ticket, seconds)
    local queue = P .. ':queue:' .. model .. ':' .. class
    redis.call('HSET', job, 'ticket', ticket, 'queue', queue, 'at', now())
    redis.call('EXPIRE', job, seconds)
    redis.call('RPUSH', queue, id)
    redis.call('PUBLISH', P .. ':wake', id)
end
local function requeue(which)
    local key = P .. ':job:' .. which
    local queue = redis.call('HGET', key, 'queue')
    if queue and not over(key) then
        redis.call('LPUSH', queue, which)
        redis.call('PUBLISH', P .. ':wake', which)
    end
end
"""

OPEN = """
local ticket, model, class, most, seconds = unpack(ARGV)
if redis.call('EXISTS', job) == 1 then return 1 end
local waiting = 0
for c = 0, 2 do waiting = waiting + redis.call('LLEN', P .. ':queue:' .. model .. ':' .. c) end
if waiting >= tonumber(most) then return 0 end
enqueue(model, class, ticket, seconds)
return 1
"""

REVIVE = """
local ticket, model, class, seconds = unpack(ARGV)
if over(job) or redis.call('ZSCORE', leases, id) then return 0 end
local queue = redis.call('HGET', job, 'queue')
if queue and redis.call('LPOS', queue, id) then return 0 end
enqueue(model, class, ticket, seconds)
return 1
"""

CANCEL = """
if redis.call('EXISTS', job) == 0 or over(job) then return 0 end
redis.call('HSET', job, 'cancelled', 1)
if redis.call('LREM', redis.call('HGET', job, 'queue'), 1, id) == 1 then
    redis.call('HSET', job, 'over', 'Failed')
    redis.call('EXPIRE', job, ARGV[1])
    redis.call('DEL', P .. ':states:' .. id)
else
    redis.call('PUBLISH', P .. ':cancel', id)
end
return 1
"""

# The head of every queue of the worker's models counts its class, less what it has gained by waiting.
TAKE = """
local worker, lease, aging = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
while true do
    local best, level
    for i = 4, #ARGV do
        for class = 0, 2 do
            local queue = P .. ':queue:' .. ARGV[i] .. ':' .. class
            local head = redis.call('LINDEX', queue, 0)
            if head then
                local urgency = class - (now() - number(P .. ':job:' .. head, 'at')) / aging
                if not best or urgency < level then best, level = queue, urgency end
            end
        end
    end
    if not best then return nil end
    local found = redis.call('LPOP', best)
    local key = P .. ':job:' .. found
    if redis.call('EXISTS', key) == 1 and not over(key) then
        local attempt = redis.call('HINCRBY', key, 'attempt', 1)
        if attempt > 1 and redis.call('HDEL', key, 'handed') == 0 then
            redis.call('HINCRBY', key, 'deaths', 1)
            if redis.call('HGET', key, 'alone') == tostring(number(key, 'step')) then
                redis.call('HINCRBY', key, 'stuck', 1)
            end
        end
        redis.call('HDEL', key, 'alone')
        redis.call('HSET', key, 'worker', worker)
        redis.call('ZADD', leases, now() + lease, found)
        return {found, attempt, number(key, 'deaths'), number(key, 'stuck'),
                redis.call('HEXISTS', key, 'cancelled'), redis.call('HGET', key, 'ticket')}
    end
end
"""

# A lease that ran out a moment ago is taken up again, unless somebody was quicker.
BEAT = """
if not mine(ARGV[1]) then return -1 end
if not redis.call('ZSCORE', leases, id) and redis.call('LREM', redis.call('HGET', job, 'queue'), 1, id) == 0 then
    return -1
end
redis.call('ZADD', leases, now() + tonumber(ARGV[2]), id)
return redis.call('HEXISTS', job, 'cancelled')
"""

ALONE = """
if mine(ARGV[1]) then redis.call('HSET', job, 'alone', number(job, 'step')) end
"""

PUBLISH = """
local attempt, event, kind, sample, most, kept, unfinished = unpack(ARGV)
if not mine(attempt) then return 0 end
local events, made = P .. ':events:' .. id, P .. ':made:' .. id
if kind == 'SampleDone' and redis.call('HSETNX', made, sample, event) == 0 then return 1 end
redis.call('XADD', events, 'MAXLEN', '~', most, '*', 'event', event)
local ends = kind == 'Done' or kind == 'Failed'
if ends then
    redis.call('HSET', job, 'over', kind)
    redis.call('EXPIRE', job, kept)
    redis.call('DEL', P .. ':states:' .. id)
    redis.call('ZREM', leases, id)
end
redis.call('EXPIRE', events, ends and kept or unfinished)
redis.call('EXPIRE', made, ends and kept or unfinished)
return 1
"""

KEEP = """
local attempt, sample, state, step, seconds = unpack(ARGV)
if not mine(attempt) then return 0 end
local states = P .. ':states:' .. id
redis.call('HSET', states, sample, state)
redis.call('EXPIRE', states, seconds)
if tonumber(step) > number(job, 'step') then redis.call('HSET', job, 'step', step) end
return 1
"""

HAND_BACK = """
if not mine(ARGV[1]) or redis.call('ZREM', leases, id) == 0 then return 0 end
redis.call('HSET', job, 'handed', 1)
requeue(id)
return 1
"""

SWEEP = """
local late = redis.call('ZRANGEBYSCORE', leases, '-inf', now(), 'LIMIT', 0, 100)
for _, which in ipairs(late) do
    redis.call('ZREM', leases, which)
    requeue(which)
end
return #late
"""

ALL = {
    name: COMMON + text
    for name, text in {
        "open": OPEN,
        "revive": REVIVE,
        "cancel": CANCEL,
        "take": TAKE,
        "beat": BEAT,
        "alone": ALONE,
        "publish": PUBLISH,
        "keep": KEEP,
        "hand_back": HAND_BACK,
        "sweep": SWEEP,
    }.items()
}
