-- Puts the modules together, once per worker. `lua_package_path` is the user's, so they are found by their place.
local directory = debug.getinfo(1, "S").source:match("^@(.*/)")

local function module(name, ...)
    return assert(loadfile(directory .. name .. ".lua"))(...)
end

local places = { state = directory:gsub("lua/$", "state/") }
local text = module("text")
local workers = module("workers")
local metrics = module("metrics")
local workloads = module("workloads", places, text, workers, metrics)
local choice = module("choice", text)
local live = module("live", workloads, choice, workers, metrics)
live.control = module("control", workloads, workers, metrics, text)
package.loaded["deployer.live"] = live
return live
