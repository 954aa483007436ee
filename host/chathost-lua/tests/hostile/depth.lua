-- Recursion through everything that calls back, and sizes at the edge of what a number says.
-- Each case: its name => how it ends, and the script up to the next (tests/hostile.rs).

--- a hole far away => returns: 0
local t = {} t[2 ^ 50] = 1 return #t

--- move of nothing, for ever => raises: too many elements
table.move({}, 1, 2 ^ 31 - 2, 1) return 1

--- unpack of nothing => raises: too many results
return table.unpack({}, 1, 2 ^ 30)

--- deep recursion => raises: stack overflow
local function f() return 1 + f() end return f()

--- deep recursion caught, for ever => cpu
local function f() return 1 + f() end while true do pcall(f) end

--- deep recursion through pcall => returns: 26
local function f() return (select(2, pcall(f))) end return #f()

--- deep recursion through metamethods => raises: overflow
local t = {} setmetatable(t, { __add = function() return t + 1 end }) return t + 1

--- deep recursion through gsub => raises: overflow
local function f() return (('a'):gsub('a', f)) end return f()

--- deep recursion through sort => raises: overflow
local function f() table.sort({ 2, 1 }, f) return true end f()

--- deep recursion through coroutines => raises: overflow
local function f() return coroutine.wrap(f)() end return f()

--- deep recursion through print => raises: overflow
local t t = setmetatable({}, { __tostring = function() print(t) return '' end }) print(t)

--- deep recursion through xpcall => returns: null
local function f() xpcall(f, f) end f()

--- deep recursion through require => returns: "string"
local function f() return select(2, pcall(require, setmetatable({}, { __tostring = f }))) end return type(f())
