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
local run = redis.call('HGET', job, 'run') or '1'
local events, made = P .. ':events:' .. id .. ':' .. run, P .. ':made:' .. id .. ':' .. run
local states = P .. ':states:' .. id
local function enqueue(model, class, seconds, fields)
    local queue = P .. ':queue:' .. model .. ':' .. class
    redis.call('HSET', job, 'queue', queue, 'at', now(), unpack(fields))
    redis.call('EXPIRE', job, seconds)
    redis.call('LREM', queue, 0, id)
    redis.call('RPUSH', queue, id)
    redis.call('PUBLISH', P .. ':wake', id)
end
local function finish(kind, event, kept)
    local told = redis.call('HEXISTS', job, 'webhook') == 1
    if told then kept = math.max(tonumber(kept), 86400) end
    redis.call('XADD', events, '*', 'event', event)
    redis.call('HSET', job, 'over', kind, 'ended', now())
    for _, key in ipairs({job, events, made}) do redis.call('EXPIRE', key, kept) end
    redis.call('DEL', states)
    redis.call('ZREM', leases, id)
    redis.call('INCR', P .. ':ended')
    if told then redis.call('ZADD', P .. ':hooks', now(), id) end
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

# A request that has failed, or was forgotten, runs again under its id, with events of its own: who still reads the old
# ones reads them to their end.
OPEN = """
local model, class, most, seconds, body, listing, remembered = unpack(ARGV, 1, 7)
local digest, known = P .. ':body:' .. id, redis.call('HGET', job, 'over')
local asked = redis.call('GET', digest) or redis.call('HGET', job, 'body') or body
if body ~= '' and asked ~= body then return {'other', run} end
local function list()
    if listing == '' then return end
    local key = P .. ':jobs:' .. listing
    for _, old in ipairs(redis.call('ZRANGE', key, 0, 3)) do
        if redis.call('EXISTS', P .. ':job:' .. old) == 0 then redis.call('ZREM', key, old) end
    end
    redis.call('ZADD', key, 'NX', now(), id)
    redis.call('EXPIRE', key, 2 * seconds)
end
if redis.call('EXISTS', job) == 1 and known ~= 'Failed' and known ~= 'Forgotten' then
    list()
    return {'known', run}
end
local waiting = 0
for c = 0, 2 do waiting = waiting + redis.call('LLEN', P .. ':queue:' .. model .. ':' .. c) end
if waiting >= tonumber(most) then return {'full', run} end
if known then
    run = tostring(tonumber(run) + 1)
    redis.call('DEL', job, states)
    redis.call('ZREM', P .. ':hooks', id)
end
if body ~= '' then
    redis.call('SET', digest, body, 'EX', remembered)
    redis.call('HSET', job, 'body', body)
end
redis.call('HSET', job, 'run', run)
list()
enqueue(model, class, seconds, {unpack(ARGV, 8)})
return {'queued', run}
"""

REVIVE = """
local model, class, seconds = unpack(ARGV, 1, 3)
if over(job) or redis.call('ZSCORE', leases, id) then return 0 end
local queue = redis.call('HGET', job, 'queue')
if queue and redis.call('LPOS', queue, id) then return 0 end
enqueue(model, class, seconds, {unpack(ARGV, 4)})
return 1
"""

CANCEL = """
if redis.call('EXISTS', job) == 0 or over(job) then return 0 end
redis.call('HSET', job, 'cancelled', 1)
local waited = redis.call('LREM', redis.call('HGET', job, 'queue'), 1, id) == 1
if waited or tonumber(redis.call('ZSCORE', leases, id) or 0) < now() then
    finish('Failed', ARGV[2], ARGV[1])
else
    redis.call('PUBLISH', P .. ':cancel', id)
end
return 1
"""

# The head of every queue of the worker's models counts its class, less what it has gained by waiting.
TAKE = """
local worker, lease, aging, attempt = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
while true do
    local best, level
    for i = 5, #ARGV do
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
        local again = redis.call('HEXISTS', key, 'attempt') == 1
        local handed = redis.call('HDEL', key, 'handed') == 1
        if again and not handed then
            redis.call('HINCRBY', key, 'deaths', 1)
            if redis.call('HGET', key, 'alone') == tostring(number(key, 'step')) then
                redis.call('HINCRBY', key, 'stuck', 1)
            end
        end
        redis.call('HDEL', key, 'alone')
        redis.call('HSET', key, 'worker', worker, 'attempt', attempt)
        redis.call('HINCRBY', key, 'attempts', 1)
        redis.call('ZADD', leases, now() + lease, found)
        return {found, number(key, 'deaths'), number(key, 'stuck'),
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
redis.call('EXPIRE', job, ARGV[3])
return redis.call('HEXISTS', job, 'cancelled')
"""

ALONE = """
if mine(ARGV[1]) then redis.call('HSET', job, 'alone', number(job, 'step')) end
"""

PUBLISH = """
local attempt, event, kind, sample, most, kept, unfinished = unpack(ARGV)
if not mine(attempt) then return 0 end
if kind == 'Done' or kind == 'Failed' then
    finish(kind, event, kept)
    return 1
end
if kind == 'SampleDone' and redis.call('HSETNX', made, sample, event) == 0 then return 1 end
local at = redis.call('XADD', events, 'MAXLEN', '~', most, '*', 'event', event)
if kind == 'SampleDone' then redis.call('HSET', made, sample .. '@', at) end
redis.call('EXPIRE', events, unfinished)
redis.call('EXPIRE', made, unfinished)
return 1
"""

KEEP = """
local attempt, sample, state, step, seconds = unpack(ARGV)
if not mine(attempt) then return 0 end
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

# About how many run before it, itself included; nil where it does not wait.
PLACE = """
local queue = redis.call('HGET', job, 'queue')
local at = queue and redis.call('LPOS', queue, id)
if not at then return nil end
for class = 0, tonumber(string.sub(queue, -1)) - 1 do
    at = at + redis.call('LLEN', string.sub(queue, 1, -2) .. class)
end
return at + 1
"""

FORGET = """
if not over(job) then return 0 end
redis.call('DEL', job, events, made, states, P .. ':body:' .. id)
redis.call('HSET', job, 'over', 'Forgotten', 'run', run)
redis.call('EXPIRE', job, ARGV[2])
redis.call('ZREM', P .. ':hooks', id)
if ARGV[1] ~= '' then redis.call('ZREM', P .. ':jobs:' .. ARGV[1], id) end
return 1
"""

# Ids of a list behind one of them, one more than asked for where there are more. What has expired is passed over.
PAGE = """
local list, after, limit, newest = P .. ':jobs:' .. ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local start, found = 0, {}
if after ~= '' then
    local rank = redis.call(newest and 'ZREVRANK' or 'ZRANK', list, after)
    if not rank then return nil end
    start = rank + 1
end
local last = start + 4096
while #found <= limit and start < last do
    local ids = redis.call(newest and 'ZREVRANGE' or 'ZRANGE', list, start, start + 63)
    if #ids == 0 then break end
    for _, which in ipairs(ids) do
        if redis.call('EXISTS', P .. ':job:' .. which) == 1 then table.insert(found, which) end
    end
    start = start + #ids
end
return {unpack(found, 1, math.min(#found, limit + 1))}
"""

# Ends that are to be told, each given to one process for a while.
OWED = """
local hooks, lease, limit, found = P .. ':hooks', tonumber(ARGV[1]), ARGV[2], {}
for _, which in ipairs(redis.call('ZRANGEBYSCORE', hooks, '-inf', now(), 'LIMIT', 0, limit)) do
    local key = P .. ':job:' .. which
    local url, ended = unpack(redis.call('HMGET', key, 'webhook', 'ended'))
    if url and ended then
        redis.call('ZADD', hooks, now() + lease, which)
        table.insert(found, {which .. '-' .. ended, url, redis.call('HINCRBY', key, 'tries', 1) - 1})
    else
        redis.call('ZREM', hooks, which)
    end
end
return found
"""

# Of the end that was meant: by now the request may run again, or have ended once more.
SETTLED = """
if redis.call('HGET', job, 'ended') == ARGV[1] then redis.call('ZREM', P .. ':hooks', id) end
"""

# What is owed outlives the result.
POSTPONED = """
local seconds = tonumber(ARGV[2])
if redis.call('HGET', job, 'ended') ~= ARGV[1] then return end
redis.call('ZADD', P .. ':hooks', 'XX', now() + 1000 * seconds, id)
for _, key in ipairs({job, events, made}) do
    local left = redis.call('TTL', key)
    if left >= 0 and left < seconds + 60 then redis.call('EXPIRE', key, math.ceil(seconds + 60)) end
end
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
        "place": PLACE,
        "forget": FORGET,
        "page": PAGE,
        "owed": OWED,
        "settled": SETTLED,
        "postponed": POSTPONED,
    }.items()
}
