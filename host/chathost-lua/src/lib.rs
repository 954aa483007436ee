//! Handlers in Lua: the script VM of a chathost server.
