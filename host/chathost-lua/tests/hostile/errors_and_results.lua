-- What is raised and returned is the script's own, and looked at after it has ended.
-- Each case: its name => how it ends, and the script up to the next (tests/hostile.rs).

--- error object that raises when printed => raises: an error that is a table
error(setmetatable({}, { __tostring = function() error('again') end }))

--- error object that loops when printed => raises: an error that is a table
error(setmetatable({}, { __tostring = function() while true do end end }))

--- error object that loops when indexed => raises: an error that is a table
error(setmetatable({}, { __index = function() while true do end end }))

--- error object with code that loops => raises: code 418
error(setmetatable({ code = 418 }, { __tostring = function() while true do end end, __index = function() while true do end end }))

--- error that is nil => raises: nil
error(nil)

--- error that is a function => raises: a function
error(function() while true do end end)

--- error that is a coroutine => raises: a thread
error(coroutine.create(print))

--- error that is long => raises: xxxx
error(('x'):rep(3000000))

--- error that claims to be another's => raises: it was him
error('handlers/chat.lua:1: it was him', 0)

--- error from a saved error => raises: is named by its path below
local _, e = pcall(require, '../x') error(e)

--- cycle as answer => cannot be sent: contains itself
local t = {} t.t = t return t

--- cycle through an array => cannot be sent: contains itself
local t = { 1 } t[2] = { t } return t

--- deep answer => cannot be sent: nested deeper
local t = {} for _ = 1, 500 do t = { t } end return t

--- function as answer => cannot be sent: a function has no JSON, at callback
return { callback = print }

--- coroutine as answer => cannot be sent: a thread has no JSON
return coroutine.running()

--- the globals as answer => cannot be sent: has no JSON
return { g = _G }

--- nothing, a thousand times, in a table with a million empty places => cpu or memory
local t = {} for i = 1, 200000 do t['k' .. i] = true end for k in t do t[k] = nil end local r = {} for i = 1, 20000 do r[i] = t end return r

--- answer with metamethods => returns: [1]
return setmetatable({ 1 }, { __index = function() while true do end end, __len = function() while true do end end })
--- errors of libraries are text => returns: ["string","string","string"]
local function kind(...)
	return type(select(2, pcall(...)))
end
return { kind(json.decode, "{"), kind(require, "nothing"), kind(math.random, 2, 1) }

