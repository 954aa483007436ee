-- Loops, plain and in whatever might catch the stop.
-- Each case: its name => how it ends, and the script up to the next (tests/hostile.rs).

--- while => cpu
while true do end

--- repeat => cpu
repeat until false

--- numeric for => cpu
for _ = 1, math.huge do end

--- generic for => cpu
for _ in function() return 1 end do end

--- generic for over next => cpu
local t = { 1 } for _ in function() return next(t) end do end

--- recursion that never gets deep => cpu
local function f(n) if n > 0 then f(n - 1) f(n - 1) end end f(60)

--- loop in pcall in a loop => cpu
while true do pcall(function() while true do end end) end

--- pcall of nothing in a loop => cpu
while true do pcall(error) end

--- loop after a caught stop => cpu
pcall(function() while true do end end) while true do end

--- return after a caught stop => cpu
pcall(function() while true do end end) return { fine = true }

--- xpcall with a looping handler => cpu
xpcall(error, function() while true do end end) return 1

--- handler of handlers => cpu
local function h() xpcall(error, h) while true do end end xpcall(error, h) while true do end

--- pcall tower => cpu
local function f() pcall(f) pcall(f) end f()

--- loop in a coroutine => cpu
coroutine.wrap(function() while true do end end)()

--- stop caught by resume, again and again => cpu
while true do coroutine.resume(coroutine.create(function() while true do end end)) end

--- coroutine storm => cpu or memory
while true do coroutine.wrap(function() coroutine.yield() end)() end

--- coroutines that keep each other => cpu or memory
local all = {} while true do local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) all[#all + 1] = co end

--- yields and computes => cpu
while true do for _ = 1, 1000 do end coroutine.yield() end

--- never resumed => cpu
coroutine.yield(json.null) while true do coroutine.yield() end

--- closes coroutines => cpu or memory
while true do coroutine.close(coroutine.create(print)) end
