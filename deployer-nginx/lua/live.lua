-- A request from its arrival to its end.
local workloads, choice, workers, metrics = ...
local base = require "resty.core.base"
local balancer = require "ngx.balancer"
local ffi = require "ffi"
local get_request, cast, tonumber = base.get_request, ffi.cast, tonumber
local pointer = ffi.typeof("uintptr_t")

local live = {}

-- By request, for as long as it lasts: its workload, the member that answers it, those that did not. A request is
-- known by its place in memory, since `ngx.ctx` does not outlive an internal redirect, to an error page say.
local arrived, answering, tried = {}, {}, {}

local function request_now()
    return tonumber(cast(pointer, get_request()))
end

local function leave(member)
    if workers.finish(member.place) == 0 then
        workloads.idle(member)
    end
end

-- Takes a request in. What is returned is "" if a member may answer it, else the reason why nobody does.
function live.enter(name)
    local request = request_now()
    local before = answering[request]
    if before then
        -- An internal redirect has brought it back, or it ended where nobody told.
        answering[request], tried[request] = nil, nil
        leave(before)
    end
    local entry = workloads.current(name)
    local split = entry.split
    if split and not split.maintenance and (split.weighted[1] or split.routes) then
        arrived[request] = entry
        if split.sticky then
            local number, is_new = choice.client(split.sticky)
            if is_new then
                ngx.header["Set-Cookie"] = split.sticky.name .. "=" .. number .. split.sticky.attributes
            end
        end
        return ""
    end
    arrived[request] = nil
    return split and split.maintenance and "maintenance" or "nobody"
end

-- A part of what the router itself answers.
function live.own_answer(name, part)
    local split = workloads.current(name).split
    local maintenance = split and split.maintenance
    if part == "message" then
        ngx.header["Content-Type"] = "text/plain; charset=utf-8"
        return maintenance and maintenance.message or "no instance serves"
    end
    return maintenance and maintenance.retry_after or ""
end

local function choose_set(entry, split)
    local set = split.routes and choice.by_route(split)
    if not set and split.weighted[2] then
        if split.sticky then
            set = choice.by_client(split, (choice.client(split.sticky)))
        else
            return choice.by_turn(split, workloads.turn(entry))
        end
    end
    set = set or split.weighted[1]
    entry.turn = entry.turn + 1
    return set, entry.turn
end

local function is_left_out(entry, member, now)
    local failures = entry.failures[member.name]
    return failures ~= nil and failures.until_then > now
end

-- The member of a set whose turn it is, passing over those that failed lately and those that were tried.
local function choose_member(entry, set, turn, done)
    local members = set.members
    local count = #members
    local first = members[turn % count + 1]
    if not done and not entry.has_failures then
        return first
    end
    local now, fallback = ngx.now(), nil
    for offset = 0, count - 1 do
        local member = members[(turn + offset) % count + 1]
        if not (done and done[member.name]) then
            fallback = fallback or member
            if not is_left_out(entry, member, now) then
                return member
            end
        end
    end
    -- The last one is never left out; all were tried only if nginx allows to try one twice.
    return fallback or first
end

local function note_failure(entry, member)
    local split = entry.split
    if not split or split.max_fails == 0 then
        return
    end
    local now = ngx.now()
    local failures = entry.failures[member.name]
    if not failures or failures.since + split.fail_timeout < now then
        failures = { count = 0, since = now, until_then = 0 }
        entry.failures[member.name] = failures
    end
    failures.count = failures.count + 1
    entry.has_failures = true
    if failures.count >= split.max_fails then
        failures.until_then = now + split.fail_timeout
    end
end

local function forget_failures(entry)
    local now = ngx.now()
    for name, failures in pairs(entry.failures) do
        if math.max(failures.until_then, failures.since + 60) < now then
            entry.failures[name] = nil
        end
    end
    entry.has_failures = next(entry.failures) ~= nil
end

-- Picks a member and counts the request for it. If the split changed meanwhile it is picked again: whoever sees the
-- new generation sees every request that follows an old one.
local function pick(entry, done)
    local split = entry.split
    if not split or split.maintenance then
        return nil
    end
    local set, turn = choose_set(entry, split)
    if not set or not set.members[1] then
        return nil, set
    end
    local member = choose_member(entry, set, turn, done)
    workers.begin(member.place)
    if workloads.is_current(entry) and entry.split == split then
        return member
    end
    leave(member)
    return pick(entry, done)
end

-- Sends a request to a member; called once more for each try.
function live.balance()
    local request = request_now()
    local entry = arrived[request]
    if not entry then
        ngx.log(ngx.ERR, "deployer: a request that did not arrive at a location of a workload")
        return ngx.exit(500)
    end
    local before, done = answering[request], nil
    if before then
        answering[request] = nil
        leave(before)
        note_failure(entry, before)
        done = tried[request] or {}
        done[before.name] = true
        tried[request] = done
    elseif entry.has_failures then
        forget_failures(entry)
    end
    local member, set = pick(entry, done)
    if not member then
        if set then
            metrics.count(set.counters, true, 0)
            return ngx.exit(502)
        end
        return ngx.exit(503)
    end
    answering[request] = member
    if not before then
        local more = math.min(entry.split.tries, #member.set.members) - 1
        if more > 0 then
            balancer.set_more_tries(more)
        end
    end
    local is_set, why = balancer.set_current_peer(member.host, member.port)
    if not is_set then
        ngx.log(ngx.ERR, "deployer: ", member.name, ": ", why)
        return ngx.exit(502)
    end
end

-- The last of a list as nginx writes it: one for each try, so most lists are just a number.
local function last(list)
    return tonumber(list) or list and tonumber(list:match("([%d.]+)$"))
end

-- How a request was answered by the last member that had it; nil if its client left before anybody could answer.
local function status_of(is_here)
    if is_here then
        local status = ngx.status
        return status ~= 499 and status or nil
    end
    -- What an error page says of it is another matter.
    return last(ngx.var.upstream_status)
end

-- A request has ended: here, or at a location that is not ours.
function live.log(is_here)
    local request = request_now()
    if not arrived[request] then
        return
    end
    arrived[request] = nil
    local member = answering[request]
    if not member then
        return
    end
    answering[request], tried[request] = nil, nil
    local status = status_of(is_here)
    if status then
        local var = ngx.var
        local seconds = last(var.upstream_header_time) or last(var.upstream_response_time) or 0
        metrics.count(member.set.counters, status >= 500, seconds)
    end
    leave(member)
end

return live
