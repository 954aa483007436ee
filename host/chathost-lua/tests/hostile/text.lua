-- Functions for text whose cost is not seen in a script's lines.
-- Each case: its name => how it ends, and the script up to the next (tests/hostile.rs).

--- exponential pattern => cpu
return (('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40))

--- nested quantifiers => cpu
return (('a'):rep(5000)):find('.-.-.-.-b')

--- greedy bomb => cpu
return (('a'):rep(5000)):match('(.*)(.*)(.*)(.*)b')

--- gsub of everything => cpu or memory
local s = ('a'):rep(1000000) while true do s:gsub('.', '%0%0') end

--- balanced => cpu
local s = ('('):rep(1000000) while true do s:find('%b()') end

--- frontier => cpu
local s = ('a'):rep(1000000) while true do s:find('%f[b]') end

--- plain search, quadratic => raises: too long for one search
return (('a'):rep(4000000)):find(('a'):rep(2000000) .. 'b', 1, true)

--- plain search without saying so => raises: too long for one search
return (('a'):rep(4000000)):find(('a'):rep(2000000) .. 'b')

--- split, quadratic => raises: too long for one search
return #(('a'):rep(4000000)):split(('a'):rep(2000000) .. 'ba')

--- a class as long as the text => raises: too long for one search
return (('a'):rep(1000000)):find('[' .. ('b'):rep(1000000) .. 'a]*c')

--- a longer one => raises: too large
return ('xx'):rep(2 ^ 31 - 1)

--- huge format => raises: invalid
return ('%99999999d'):format(1)

--- huge date => raises: date format
return os.date(('%c'):rep(1000000))

--- a giant answer => cannot be sent: more than 65536 bytes of JSON, at text
return { text = ('x'):rep(1000000) }

--- an answer of bits => cannot be sent: more than 65536 bytes
local t = {} for i = 1, 10000 do t[i] = { i } end return t
