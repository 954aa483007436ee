-- The connector: lets people in, and sees to it that whoever goes leaves the room.

local entryHandler = {}

--- Takes the session's user out of the room, if there is one.
local function leave(session)
  if session.uid then
    app.rpc.chat.chatRemote.kick(session, session.uid, app.serverId, session:get("rid"))
  end
end

local function isName(value)
  return type(value) == "string" or type(value) == "number"
end

--- `{ username, rid }` → `{ users }`, the names in the room; `{ code = 500, error = true }` if the name is taken there.
--- On a connection that is in a room already this moves it to the new one.
function entryHandler.enter(msg, session)
  if not isName(msg.username) or not isName(msg.rid) then
    return { code = 500, error = true }
  end
  local rid = tostring(msg.rid)
  local uid = msg.username .. "*" .. rid
  if app.sessionService:getByUid(uid) then
    return { code = 500, error = true }
  end

  if session.uid then
    leave(session)
    session:unbind(session.uid)
  end
  session:set("rid", rid)
  session:push("rid")
  session:bind(uid)
  if not session:get("listening") then
    -- By name: the function is looked up when it happens, so the newest code says good-bye.
    session:on("closed", "onUserLeave")
    session:set("listening", true)
    session:push("listening")
  end

  local ok, users = pcall(app.rpc.chat.chatRemote.add, session, uid, app.serverId, rid, true)
  if not ok then
    -- Not in the room after all; the name is free again.
    session:unbind(uid)
    error(users, 0)
  end
  return { users = users }
end

local function onUserLeave(session)
  leave(session)
end

return { entryHandler = entryHandler, onUserLeave = onUserLeave }
