-- The accepted split of each workload: in shared memory for all workers and over reloads, in a file over restarts.
local places, text, workers, metrics = ...
local shared = ngx.shared.deployer

local workloads = {}

-- How long it is believed that there is no file, in seconds.
local NONE = 1

-- What this worker has of each workload.
local known = {}

local function generation_key(name) return "generation/" .. name end
local function text_key(name, generation) return "text/" .. name .. "/" .. generation end

-- A split with all that picking needs.
local function prepare(name, split)
    local weighted = {}
    for _, set in ipairs(split.sets) do
        set.counters = metrics.set(name, set.name)
        if set.weight > 0 then
            weighted[#weighted + 1] = set
        end
        for _, member in ipairs(set.members) do
            member.place = workers.key(name, member.name)
            member.set = set
            member.workload = name
            member.generation = split.generation
        end
    end
    -- In the order of their names, which all routers that keep clients have.
    table.sort(weighted, function(one, other) return one.name < other.name end)
    split.weighted = weighted
    return split
end

local function read_file(name)
    local file = io.open(places.state .. name .. ".live")
    local whole = file and file:read("*a")
    if file then
        file:close()
    end
    return whole
end

-- After a restart the memory is empty: the file says what was accepted.
local function from_file(name)
    local whole = read_file(name)
    if not whole then
        return nil
    end
    local is_good, split = pcall(text.parse, whole)
    if not is_good then
        ngx.log(ngx.ERR, "deployer: the split of ", name, " in its file cannot be read: ", split)
        return nil
    end
    shared:safe_add(text_key(name, split.generation), whole)
    -- Another worker, or the deployer itself, may have been first.
    shared:safe_add(generation_key(name), split.generation)
    return shared:get(generation_key(name))
end

-- Brings what this worker has up to a generation; it may be newer already.
local function load(entry, generation)
    for _ = 1, 10 do
        local whole = generation and shared:get(text_key(entry.name, generation))
        if whole then
            local is_good, split = pcall(text.parse, whole)
            if is_good then
                entry.split = prepare(entry.name, split)
                entry.generation = generation
                return
            end
            ngx.log(ngx.ERR, "deployer: the split of ", entry.name, " cannot be read: ", split)
            return
        end
        -- It was replaced between the two looks, or is not known yet.
        generation = shared:get(entry.generation_key) or from_file(entry.name)
        if not generation then
            entry.split, entry.generation = nil, nil
            entry.absent_until = ngx.now() + NONE
            return
        end
    end
end

local function entry_of(name)
    local entry = known[name]
    if not entry then
        entry = {
            name = name,
            generation_key = generation_key(name),
            turns_key = "turns/" .. name,
            -- Workers begin at different members.
            turn = ngx.worker.pid(),
            failures = {},
            absent_until = 0,
        }
        known[name] = entry
    end
    return entry
end

-- A workload with the newest split; its `split` is nil before the first.
function workloads.current(name)
    local entry = entry_of(name)
    local generation = shared:get(entry.generation_key)
    if generation ~= entry.generation or not generation then
        if generation or entry.absent_until <= ngx.now() then
            load(entry, generation)
        else
            entry.split, entry.generation = nil, nil
        end
    end
    return entry
end

-- Whether what this worker has is the newest; if not it is brought up to it.
function workloads.is_current(entry)
    local generation = shared:get(entry.generation_key)
    if generation == entry.generation and generation then
        return true
    end
    load(entry, generation)
    return entry.split == nil
end

-- The next number of the workload's sequence, from 0, of all workers together.
function workloads.turn(entry)
    local turn = shared:incr(entry.turns_key, 1)
    return (turn or shared:incr(entry.turns_key, 1, 0)) - 1
end

-- A member of a split that is not in force any more has nothing to do now.
function workloads.idle(member)
    if shared:get(generation_key(member.workload)) ~= member.generation then
        shared:incr("changes/" .. member.workload, 1, 0)
    end
end

function workloads.changes(name)
    return shared:get("changes/" .. name) or 0
end

-- Puts a split into force. What is older than the present one is refused.
function workloads.put(name, whole)
    local is_good, split = pcall(text.parse, whole)
    if not is_good then
        return 400, split
    end
    local now = workloads.current(name).split
    if now and (split.epoch < now.epoch or split.generation < now.generation) then
        return 409, now.generation .. " " .. now.stamp
    end
    if now and split.generation == now.generation then
        if split.stamp ~= now.stamp then
            return 409, now.generation .. " " .. now.stamp
        end
        return 200, now.generation .. " " .. now.stamp
    end
    local is_kept, why = shared:safe_set(text_key(name, split.generation), whole)
    if is_kept then
        is_kept, why = shared:safe_set(generation_key(name), split.generation)
    end
    if not is_kept then
        shared:delete(text_key(name, split.generation))
        return 507, why
    end
    if now then
        shared:delete(text_key(name, now.generation))
    end
    shared:incr("changes/" .. name, 1, 0)
    local keep = {}
    for _, one in ipairs({ split, now }) do
        for _, set in ipairs(one.sets) do
            for _, member in ipairs(set.members) do
                keep[member.name] = true
            end
        end
    end
    workers.sweep(name, keep)
    return 200, split.generation .. " " .. split.stamp
end

-- The text that is in force.
function workloads.text(name)
    local entry = workloads.current(name)
    return entry.split and shared:get(text_key(name, entry.generation))
end

-- Forgets a workload. Its file has to be gone before.
function workloads.forget(name)
    local generation = shared:get(generation_key(name))
    shared:delete(generation_key(name))
    if generation then
        shared:delete(text_key(name, generation))
    end
    shared:delete("turns/" .. name)
    shared:incr("changes/" .. name, 1, 0)
    workers.sweep(name, {})
    metrics.forget(name)
end

return workloads
