-- Which set and which member of it a request gets.
local text = ...
local bit = require "bit"
local band, bxor, lshift, rshift, tobit = bit.band, bit.bxor, bit.lshift, bit.rshift, bit.tobit
local floor = math.floor

local choice = {}

local function matches(route, headers, cookies)
    if route.is_cookie then
        return text.has_cookie(cookies, route.name, route.value)
    end
    local value = headers[route.name]
    if type(value) == "table" then
        for _, one in ipairs(value) do
            if one == route.value then
                return true
            end
        end
        return false
    end
    return value == route.value
end

-- The set of the first route that matches.
function choice.by_route(split)
    local headers, cookies = ngx.req.get_headers(0), ngx.var.http_cookie
    for _, route in ipairs(split.routes) do
        if matches(route, headers, cookies) then
            return route.set
        end
    end
    return nil
end

-- The set whose turn it is, and how many turns it had before. Over each round, as many turns as the sum of all
-- weights, each set has exactly as many turns as its weight, spread as evenly as it goes.
function choice.by_turn(split, turn)
    local weighted, rest = split.weighted, split.total
    local round, place = floor(turn / rest), turn % rest
    for index = 1, #weighted - 1 do
        local set = weighted[index]
        local weight = set.weight
        local before = floor(place * weight / rest)
        if floor((place + 1) * weight / rest) > before then
            return set, round * weight + before
        end
        place, rest = place - before, rest - weight
    end
    local last = weighted[#weighted]
    return last, round * last.weight + place
end

local M = 0x5bd1e995

-- The product of two numbers of 32 bits, without what is above.
local function multiply(one)
    local low, high = band(one, 0xffff), rshift(one, 16)
    return tobit(low * M % 4294967296 + (high * M % 65536) * 65536)
end

-- MurmurHash2 of 32 bytes, seeded with the length, as nginx's `split_clients` has it.
local function murmur(data)
    local hash = #data
    for index = 1, #data, 4 do
        local one, two, three, four = data:byte(index, index + 3)
        local word = multiply(one + two * 256 + three * 65536 + four * 16777216)
        word = multiply(bxor(word, rshift(word, 24)))
        hash = bxor(multiply(hash), word)
    end
    hash = multiply(bxor(hash, rshift(hash, 13)))
    hash = bxor(hash, rshift(hash, 15))
    return hash % 4294967296
end

choice.murmur = murmur

-- The client's number: 32 lowercase hexadecimal digits, nothing else was ever given out.
local function is_number(value)
    return #value == 32 and not value:find("[^%da-f]")
end

-- The number of the client of this request, and whether it is new.
function choice.client(sticky)
    local number = text.cookie(ngx.var.http_cookie, sticky.name, is_number)
    if number then
        return number, false
    end
    return ngx.var.request_id, true
end

-- The set that a client stays with: the sets share the numbers among them, in the order of their names.
function choice.by_client(split, number)
    local point = murmur(number) / 4294967296 * split.total
    local upper = 0
    for _, set in ipairs(split.weighted) do
        upper = upper + set.weight
        if point < upper then
            return set
        end
    end
    return split.weighted[#split.weighted]
end

return choice
