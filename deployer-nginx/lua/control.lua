-- What the deployer asks and says. The socket is in a directory that only its user can enter.
local workloads, workers, metrics, text = ...

local LONGEST_NAME = 63
-- How long a question for changes may stay open, in seconds, and how often it looks.
local PATIENCE, PAUSE = 20, 0.01

local function answer(status, body)
    ngx.status = status
    ngx.header["Content-Type"] = "text/plain"
    ngx.print(body, "\n")
    return ngx.exit(status)
end

local function body()
    ngx.req.read_body()
    return ngx.req.get_body_data()
end

local function put(name)
    local whole = body()
    if not whole then
        return answer(400, "no text, or too much of it")
    end
    return answer(workloads.put(name, whole))
end

local function get(name)
    local entry = workloads.current(name)
    if not entry.split then
        return answer(404, "nothing was accepted")
    end
    return answer(200, entry.generation .. " " .. entry.split.stamp)
end

local function whole(name)
    local found = workloads.text(name)
    if not found then
        return answer(404, "nothing was accepted")
    end
    return answer(200, found)
end

local function busy(name)
    local members = {}
    for line in (body() or ""):gmatch("([^\n]+)\n") do
        members[#members + 1] = line
    end
    return answer(200, table.concat(workers.busy(name, members), "\n"))
end

local function counts(name)
    local set, seconds = ngx.var.arg_set or "", tonumber(ngx.var.arg_seconds)
    if #set > LONGEST_NAME or not set:find("^%w[%w._-]*$") or not seconds or seconds < 0 then
        return answer(400, "a set and seconds are needed")
    end
    local split = workloads.current(name).split
    local is_known = false
    for _, one in ipairs(split and split.sets or {}) do
        is_known = is_known or one.name == set
    end
    local found = metrics.counts(name, set, seconds, is_known)
    if not found then
        return answer(404, "nothing is known of the answers of this set")
    end
    return answer(200, ("%d %d %s"):format(found.total, found.bad, found.p99_micros or "-"))
end

-- Answers when something is different from what the caller has seen; soon in a worker that is to end.
local function changes(name)
    local seen = tonumber(ngx.var.arg_seen)
    local deadline = ngx.now() + PATIENCE
    while workloads.changes(name) == seen and ngx.now() < deadline and not ngx.worker.exiting() do
        ngx.sleep(PAUSE)
    end
    return answer(200, workloads.changes(name))
end

local function delete(name)
    workloads.forget(name)
    return answer(200, "forgotten")
end

local handlers = {
    ["PUT split"] = put,
    ["GET split"] = get,
    ["DELETE split"] = delete,
    ["GET text"] = whole,
    ["POST busy"] = busy,
    ["GET counts"] = counts,
    ["GET changes"] = changes,
}

return function()
    local name, what = ngx.var.uri:match("^/live/(%w[%w._-]*)/(%l+)$")
    local handler = name and #name <= LONGEST_NAME and handlers[ngx.req.get_method() .. " " .. what]
    if not handler then
        return answer(404, "no such thing here")
    end
    return handler(name)
end
