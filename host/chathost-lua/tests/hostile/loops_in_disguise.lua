-- Code that runs where one does not look for it: metamethods, comparisons, callbacks.
-- Each case: its name => how it ends, and the script up to the next (tests/hostile.rs).

--- __index => cpu
local t = setmetatable({}, { __index = function() while true do end end }) return t.x

--- __newindex => cpu
local t = setmetatable({}, { __newindex = function() while true do end end }) t.x = 1

--- __eq => cpu
local m = { __eq = function() while true do end end } return setmetatable({}, m) == setmetatable({}, m)

--- __lt in sort => cpu
local m = { __lt = function() while true do end end } table.sort({ setmetatable({}, m), setmetatable({}, m) })

--- __concat => cpu
return setmetatable({}, { __concat = function() while true do end end }) .. ''

--- __call => cpu
setmetatable({}, { __call = function() while true do end end })()

--- __len => cpu
return #setmetatable({}, { __len = function() while true do end end })

--- __iter => cpu
for _ in setmetatable({}, { __iter = function() while true do end end }) do end

--- __tostring => cpu
return tostring(setmetatable({}, { __tostring = function() while true do end end }))

--- __tostring in print => cpu
print(setmetatable({}, { __tostring = function() while true do end end }))

--- __tostring in format => cpu
return ('%*'):format(setmetatable({}, { __tostring = function() while true do end end }))

--- __index chain that is a circle => raises: loop
local a, b = {}, {} setmetatable(a, { __index = b }) setmetatable(b, { __index = a }) return a.x

--- __index through itself => raises: overflow
local t t = setmetatable({}, { __index = function(_, k) return t[k .. 'x'] end }) return t.x

--- sort comparator => cpu
table.sort({ 3, 2, 1 }, function() while true do end end)

--- sort comparator that lies => raises: invalid order function
local t = table.create(1000, 1) table.sort(t, function() return true end) return 1

--- big sort => cpu or memory
local t = table.create(400000, 0) for i = 1, #t do t[i] = (i * 7919) % 400009 end while true do table.sort(t) table.sort(t, function(a, b) return a > b end) end

--- gsub callback => cpu
('a'):gsub('a', function() while true do end end)

--- gsub callback table => cpu
('a'):gsub('a', setmetatable({}, { __index = function() while true do end end }))

--- gmatch => cpu
while true do for _ in ('aaaa'):gmatch('a') do end end

--- prints => cpu
while true do print('x') end

--- requires => cpu
while true do pcall(require, 'nothing') end

--- decodes => cpu or memory
local s = '[' .. ('1,'):rep(10000) .. '1]' pcall(json.decode, s:rep(100)) while true do json.decode(s) end

--- encodes => cpu or memory
local t = table.create(10000, 1) while true do json.encode(t) end
--- sort of long texts that differ at their ends => cpu
local a, b = ("x"):rep(4000000) .. "a", ("x"):rep(4000000) .. "b"
local t = {}
for i = 1, 40000 do
	t[i] = if i % 2 == 0 then a else b
end
table.sort(t)

