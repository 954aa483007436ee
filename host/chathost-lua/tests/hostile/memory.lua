-- Time enough is given for memory to end first.
-- Each case: its name => how it ends, and the script up to the next (tests/hostile.rs).

--- table flood => memory
local t = {} while true do t[#t + 1] = {} end

--- flood of numbers => memory
local t = {} local i = 0 while true do i += 1 t[i] = i end

--- flood of keys => memory
local t = {} local i = 0 while true do i += 1 t['k' .. i] = i end

--- flood of coroutines => memory
local t = {} while true do t[#t + 1] = coroutine.create(print) end

--- closures => memory
local f while true do local g = f f = function() return g end end

--- string doubling => memory
local s = 'x' while true do s = s .. s end

--- string doubling with a handler => returns: null
xpcall(function() local s = 'x' while true do s = s .. s end end, function(e) error(e, 0) end)

--- flood caught once => returns: "fine"
local t = {} pcall(function() while true do t[#t + 1] = {} end end) t = nil return 'fine'

--- flood kept in a module => memory
kept = {} while true do kept[#kept + 1] = {} end

--- one huge string => memory
return ('x'):rep(1e9)

--- one huge table => memory
return #table.create(2 ^ 24)

--- one that overflows => raises: table overflow
return #table.create(2 ^ 30)

--- a table size beyond all => raises: out of range
return #table.create(2 ^ 60)

--- huge buffer => memory
return buffer.create(2 ^ 30)

--- concat of much => memory
local t = table.create(100000, ('x'):rep(1000)) return table.concat(t)

--- error that is huge => raises: xxxx
error(('x'):rep(15000000), 0)

--- decoded => memory
local t = {} while true do t[#t + 1] = json.decode('[' .. ('[1],'):rep(16000) .. '1]') end

--- a chain of metatables => raises: loop
local t = {} for i = 1, 10000 do t = setmetatable({}, { __index = t }) end return t.x

--- garbage, nothing kept => returns: 1
for i = 1, 400 do local s = ('x'):rep(100000) .. i end return 1

--- garbage of coroutines => returns: 1
for _ = 1, 100000 do coroutine.wrap(function() coroutine.yield() end)() end return 1
