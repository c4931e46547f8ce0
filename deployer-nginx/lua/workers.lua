-- Requests that members are answering, counted for each worker by itself: what a dead worker had is answered by
-- nobody any more and must not be waited for.
local counts = ngx.shared.deployer

local workers = {}

-- When a process began, in the kernel's ticks since it started; nil if there is no such process.
local function began(pid)
    local file = io.open("/proc/" .. pid .. "/stat")
    local line = file and file:read("*l")
    if file then
        file:close()
    end
    local state, rest = (line or ""):match("^.*%) (%u) (.*)$")
    if not state or state == "Z" or state == "X" then
        return nil
    end
    -- The 22nd field of the line; the state is the 3rd.
    local position = 3
    for field in rest:gmatch("%S+") do
        position = position + 1
        if position == 22 then
            return field
        end
    end
    return nil
end

-- A number that no other worker of this memory has or will have.
local number = counts:incr("worker", 1, 0)
local pid = ngx.worker.pid()
counts:set("worker/" .. number, pid .. " " .. (began(pid) or "unknown"))

local function key(workload, member, worker)
    return "busy/" .. workload .. "/" .. member .. "#" .. worker
end

-- Where this worker counts the requests of a member.
function workers.key(workload, member)
    return key(workload, member, number)
end

-- One request more. Plain `incr` never takes room from others; a new place is needed once per member.
function workers.begin(place)
    if not counts:incr(place, 1) then
        counts:safe_add(place, 0)
        counts:incr(place, 1, 0)
    end
end

-- One request less; how many are left. Where nothing is counted any more there is nothing to take away.
function workers.finish(place)
    return counts:incr(place, -1) or 0
end

-- The workers that live, by number. Those that do not are forgotten.
local function living()
    local found = {}
    local first, last = counts:get("worker/first") or 1, counts:get("worker") or 0
    local oldest
    for one = first, last do
        local entry = counts:get("worker/" .. one)
        if entry then
            local process, start = entry:match("^(%d+) (%S+)$")
            local now = began(process)
            if now and (start == "unknown" or start == now) then
                found[one] = true
                oldest = oldest or one
            else
                counts:delete("worker/" .. one)
            end
        end
    end
    counts:set("worker/first", oldest or last)
    return found
end

-- How many requests each of these members is answering.
function workers.busy(workload, members)
    local found, answer = living(), {}
    for index, member in ipairs(members) do
        local sum = 0
        for worker in pairs(found) do
            sum = sum + math.max(counts:get(key(workload, member, worker)) or 0, 0)
        end
        answer[index] = sum
    end
    return answer
end

-- Frees the room of members that nobody can pick any more (`keep` are those that somebody can), and of dead workers.
function workers.sweep(workload, keep)
    local found = living()
    local prefix = "busy/" .. workload .. "/"
    for _, place in ipairs(counts:get_keys(0)) do
        local worker = place:match("^busy/.*#(%d+)$")
        if worker and not found[tonumber(worker)] then
            counts:delete(place)
        elseif worker and place:sub(1, #prefix) == prefix and counts:get(place) == 0 then
            if not keep[place:match("^busy/[^/]*/(.*)#%d+$")] then
                counts:delete(place)
            end
        end
    end
end

return workers
