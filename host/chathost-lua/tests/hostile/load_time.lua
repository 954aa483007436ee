-- Whole files here: they do harm before there is anything to call.
-- Each case: its name => how it ends, and the script up to the next (tests/hostile.rs).

--- loop => refused: handlers/evil.lua:1: more than 60ms of processor time
while true do end

--- loop in pcall => refused: processor time
while true do pcall(function() while true do end end) end

--- loop in app-function => refused: processor time
return function(app) while true do end end

--- memory => refused: of memory is reached
local s = 'x' while true do s = s .. s end

--- memory in pcall => refused
local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1e6) .. #t end) end

--- waits => refused: yield
coroutine.yield()

--- syntax => refused: handlers/evil.lua:1:
local = 1

--- unfinished => refused: handlers/evil.lua:1:
function f(

--- nothing => refused: handlers/evil.lua: it has to return a table

--- out by .. => refused: by its path below handlers/
require('../secret')

--- out by a long way => refused: by its path below handlers/
require('util/../../secret')

--- out by an absolute path => refused: by its path below handlers/
require('/etc/passwd')

--- out by a backslash => refused: by its path below handlers/
require('..\\secret')

--- out by a nul => refused: by its path below handlers/
require('app\0x')

--- itself => refused: handlers/evil.lua → handlers/evil.lua
require('evil')

--- itself, in a loop => refused: processor time
while true do pcall(require, 'evil') end

--- error object that loops => refused: table
error(setmetatable({}, { __tostring = function() while true do end end }))
