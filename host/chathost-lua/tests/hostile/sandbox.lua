-- Ways out, and ways to change what others see.
-- Each case: its name => how it ends, and the script up to the next (tests/hostile.rs).

--- loadstring => raises: nil
return loadstring('return 1')()

--- load => raises: nil
return load('return 1')()

--- getfenv => raises: nil
return getfenv(1)

--- setfenv => raises: nil
return setfenv(1, {})

--- newproxy => raises: nil
return newproxy(true)

--- io => raises: nil
return io.open('/etc/passwd')

--- os.execute => raises: nil
return os.execute('true')

--- os.exit => raises: nil
os.exit(0)

--- os.getenv => raises: nil
return os.getenv('HOME')

--- package => raises: nil
return package.loadlib('x', 'y')

--- debug.getregistry => raises: nil
return debug.getregistry()

--- debug.setmetatable => raises: nil
debug.setmetatable('', {})

--- collectgarbage stops nothing => returns: true
collectgarbage('stop') return collectgarbage('count') > 0

--- poison string => raises: readonly
string.upper = function() return 'evil' end

--- poison string by rawset => raises: readonly
rawset(string, 'upper', function() return 'evil' end)

--- poison string by its metatable => raises: readonly
getmetatable('').__index = { upper = error }

--- empty the string library => raises: readonly
table.clear(string)

--- a metatable for string => raises: readonly
setmetatable(string, { __index = error })

--- poison table => raises: readonly
table.concat = error

--- poison coroutine => raises: readonly
coroutine.wrap = error

--- poison json => raises: readonly
json.encode = error

--- poison arrays => raises: readonly
getmetatable(json.array()).__index = error

--- poison null => raises: index
getmetatable(json.null).__tostring = error

--- poison the globals behind the environment => raises: index
getmetatable(_G).__index.print = error

--- a global of one's own => returns: "alone"
print = error honest = error string = nil return 'alone'

--- another file's local through debug => raises: nil
return debug.getupvalue(require, 1)

--- the host's functions through debug => returns: "function"
return type(debug.info(2, 'f'))

--- replace an app function => returns: 1
local app = require('app') app = {} return 1

--- pending, forged => returns: 1
coroutine.yield(json.null) return 1

--- the forged pending value waits for ever => cpu
local co = coroutine.create(function() end) while true do coroutine.yield(co) end
