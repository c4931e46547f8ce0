-- How sets answer: counters that only grow, and what they were at the first request of each second. Counts of an
-- interval are the difference. Times are in whole milliseconds, as nginx keeps them.
local counters = ngx.shared.deployer_metrics

local metrics = {}

-- Seconds for which each second is remembered, and for which each minute is.
local FINE, COARSE = 300, 86400
local STEP = 60

-- Buckets of times: 0 to 7 ms each by itself, then four to each doubling, up to about ten minutes.
local LINEAR, LAST = 8, 76

local function bucket(milliseconds)
    if milliseconds < LINEAR then
        return math.floor(milliseconds)
    end
    local fraction, exponent = math.frexp(milliseconds)
    -- The fraction is 0.5 to 1: its quarter is 0 to 3.
    return math.min(LINEAR + (exponent - 4) * 4 + math.floor((fraction - 0.5) * 8), LAST)
end

-- The first time that is too long for a bucket, in milliseconds.
local function bound(index)
    if index < LINEAR then
        return index + 1
    end
    local octave, quarter = math.floor((index - LINEAR) / 4), (index - LINEAR) % 4
    return 2 ^ (octave + 3) * (1 + (quarter + 1) / 4)
end

-- Where a set is counted.
function metrics.set(workload, name)
    local prefix = workload .. "/" .. name .. "/"
    local set = { prefix = prefix, bad = prefix .. "bad", born = prefix .. "born", second = 0, times = {} }
    for index = 0, LAST do
        set.times[index] = prefix .. index
    end
    return set
end

local function encode(set)
    -- Bad ones first: one that is counted meanwhile is in the times, so that bad is never more than all.
    local parts = { counters:get(set.bad) or 0 }
    for index = 0, LAST do
        local count = counters:get(set.times[index])
        if count then
            parts[#parts + 1] = index .. "=" .. count
        end
    end
    return table.concat(parts, " ")
end

local function snapshot(set, second)
    local fine = set.prefix .. "s" .. second
    if not counters:get(fine) then
        counters:safe_add(set.born, second)
        local now = encode(set)
        counters:add(fine, now, FINE + 10)
        counters:add(set.prefix .. "m" .. math.floor(second / STEP), now, COARSE + STEP)
    end
end

-- One request that a set was picked for: whether it failed, and how long it took until the head of the answer.
function metrics.count(set, is_bad, seconds)
    local second = ngx.time()
    if set.second ~= second then
        set.second = second
        snapshot(set, second)
    end
    counters:incr(set.times[bucket(seconds * 1000)], 1, 0)
    if is_bad then
        counters:incr(set.bad, 1, 0)
    end
end

local function decode(encoded)
    local bad, times = tonumber(encoded:match("^%d+")), {}
    for index, count in encoded:gmatch("(%d+)=(%d+)") do
        times[tonumber(index)] = tonumber(count)
    end
    return { bad = bad, times = times }
end

-- What was counted before the interval began, or shortly after: never longer ago.
local function base(set, now, interval)
    local start = now - interval
    local born = counters:get(set.born)
    if born and born >= start then
        return { bad = 0, times = {} }
    end
    local first = math.ceil(start)
    if interval <= FINE then
        for second = first, math.floor(now) do
            local found = counters:get(set.prefix .. "s" .. second)
            if found then
                return decode(found)
            end
        end
        return nil
    end
    for minute = math.ceil(math.max(start, now - COARSE) / STEP), math.floor(now / STEP) do
        local found = counters:get(set.prefix .. "m" .. minute)
        if found then
            return decode(found)
        end
    end
    return base(set, now, FINE)
end

-- Answers over the last seconds: all, bad, and the 99th percentile in microseconds; nil if the set is unknown.
function metrics.counts(workload, name, interval, is_known)
    local set = metrics.set(workload, name)
    if not counters:get(set.born) then
        return is_known and { total = 0, bad = 0 } or nil
    end
    local now = decode(encode(set))
    local before = base(set, ngx.now(), interval) or now
    local total, times = 0, {}
    for index = 0, LAST do
        times[index] = math.max((now.times[index] or 0) - (before.times[index] or 0), 0)
        total = total + times[index]
    end
    local answer = { total = total, bad = math.min(math.max(now.bad - before.bad, 0), total) }
    local rank, seen = math.ceil(total * 0.99), 0
    for index = 0, LAST do
        seen = seen + times[index]
        if total > 0 and seen >= rank then
            answer.p99_micros = bound(index) * 1000
            break
        end
    end
    return answer
end

-- Forgets everything of a workload.
function metrics.forget(workload)
    local prefix = workload .. "/"
    for _, place in ipairs(counters:get_keys(0)) do
        if place:sub(1, #prefix) == prefix then
            counters:delete(place)
        end
    end
end

return metrics
