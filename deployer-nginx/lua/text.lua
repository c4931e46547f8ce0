-- The text of an accepted split, as the state file has it and as it is sent: one thing a line, names and numbers
-- in the clear, everything else in hexadecimal digits. The first line that is not understood makes it worthless.
local text = {}

local NAME = "([%w][%w._-]*)"
local HEX = "(%x*)"

local function unhex(digits)
    return (digits:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

text.unhex = unhex

-- The number that a line has for a word, or an error.
local function number(line, word)
    local digits = line and line:match("^" .. word .. " (%d+)$")
    local value = tonumber(digits)
    if not value or value > 2 ^ 53 then
        error("expected: " .. word, 0)
    end
    return value
end

local readers = {}

readers["^maintenance (%d+) " .. HEX .. "$"] = function(split, seconds, message)
    split.maintenance = { retry_after = seconds, message = unhex(message) }
end

readers["^failures (%d+) (%d+)$"] = function(split, fails, seconds)
    split.max_fails, split.fail_timeout = tonumber(fails), tonumber(seconds)
end

readers["^tries (%d+)$"] = function(split, tries)
    split.tries = tonumber(tries)
end

readers["^sticky " .. HEX .. " " .. HEX .. "$"] = function(split, name, attributes)
    split.sticky = { name = unhex(name), attributes = unhex(attributes) }
end

readers["^set " .. NAME .. " (%d+)$"] = function(split, name, weight)
    local set = { name = name, weight = tonumber(weight), members = {} }
    split.sets[#split.sets + 1] = set
    split.total = split.total + set.weight
end

readers["^member " .. NAME .. " ([%x.:%[%]]+) (%d+)$"] = function(split, instance, host, port)
    local set = split.sets[#split.sets]
    local member = { name = instance .. "@" .. host .. ":" .. port, host = host, port = tonumber(port) }
    set.members[#set.members + 1] = member
end

readers["^route (%l+) " .. HEX .. " " .. HEX .. " (%d+)$"] = function(split, kind, name, value, set)
    local route = { name = unhex(name), value = unhex(value), set = split.sets[tonumber(set)] }
    if not route.set or (kind ~= "header" and kind ~= "cookie") then
        error("a route that leads nowhere", 0)
    end
    route.is_cookie = kind == "cookie"
    split.routes[#split.routes + 1] = route
end

local function read(split, line)
    for pattern, reader in pairs(readers) do
        local one, two, three, four = line:match(pattern)
        if one then
            return reader(split, one, two, three, four)
        end
    end
    error("a line that is not understood: " .. line:sub(1, 60), 0)
end

-- The split of a whole text; an error if any of it is not understood.
function text.parse(whole)
    local lines = whole:gmatch("([^\n]*)\n")
    if lines() ~= "deployer live 1" then
        error("not of format 1", 0)
    end
    local split = { sets = {}, routes = {}, total = 0, tries = 1, max_fails = 0, fail_timeout = 0 }
    split.epoch = number(lines(), "epoch")
    split.generation = number(lines(), "generation")
    split.stamp = (lines() or ""):match("^stamp (%x+)$")
    if not split.stamp or #split.stamp ~= 64 then
        error("expected: stamp", 0)
    end
    if not (lines() or ""):find("^split ") then
        error("expected: split", 0)
    end
    for line in lines do
        if line == "end" then
            split.is_whole = lines() == nil
            break
        end
        read(split, line)
    end
    if not split.is_whole then
        error("the end is missing", 0)
    end
    split.routes = split.routes[1] and split.routes
    return split
end

-- Whether one of the cookies of a request has this name and this value, quoted or not.
function text.has_cookie(header, name, value)
    local found = text.cookie(header, name, function(this)
        return this == value or this:match('^"(.*)"$') == value
    end)
    return found ~= nil
end

-- The first value of a cookie that is accepted.
function text.cookie(header, name, accept)
    if not header or not header:find(name, 1, true) then
        return nil
    end
    for pair in header:gmatch("[^;]+") do
        local this, value = pair:match("^%s*(.-)%s*=%s*(.-)%s*$")
        if this == name and accept(value) then
            return value
        end
    end
    return nil
end

return text
