-- Runs first on every server, before the handlers of its type: Pomelo's app.js.

-- Everybody in a room talks through one chat server: the one that the room's name hashes to. "rid" is the session
-- setting that connector.lua writes; a function (session, app) -> server id would do as well.
app:route("chat", "rid")
