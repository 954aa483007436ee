-- The chat: rooms, and what is said in them. A room is a channel; its name is the session's "rid".

local chatHandler = {}
local chatRemote = {}

--- The names of those who are in a room, by user id.
local names = {}

--- A user id is "name*room"; people see the name.
local function nameOf(uid)
  return names[uid] or uid:match("^[^*]*")
end

--- `{ content, target }`: to everybody in the room with the target "*", else to the one of that name.
function chatHandler.send(msg, session)
  local rid = session:get("rid")
  local channel = app.channelService:getChannel(rid)
  local push = { msg = msg.content, from = nameOf(session.uid), target = msg.target }
  if msg.target == "*" then
    channel:pushMessage("onChat", push)
  else
    local name = tostring(msg.target or error { code = 400, message = "send needs a target: a name, or * for all" })
    local member = channel:getMember(name .. "*" .. rid)
    if not member then
      error { code = 404, message = name .. " is not in this room" }
    end
    app.channelService:pushMessageByUids("onChat", push, { member })
  end
  return { route = msg.route }
end

--- Called by connectors: puts a user into a room and returns the names in it. Those who are there already are told
--- first, so nobody hears of their own coming.
function chatRemote.add(uid, sid, name, flag)
  local channel = app.channelService:getChannel(name, flag)
  if channel then
    channel:pushMessage({ route = "onAdd", user = nameOf(uid) })
    channel:add(uid, sid)
    names[uid] = nameOf(uid)
  end
  return chatRemote.get(name, flag)
end

--- The names in a room.
function chatRemote.get(name, flag)
  local channel = app.channelService:getChannel(name, flag)
  local users = json.array {}
  if channel then
    for _, uid in channel:getMembers() do
      table.insert(users, nameOf(uid))
    end
  end
  return users
end

--- Called by connectors: takes a user out of a room and tells the others.
function chatRemote.kick(uid, sid, name)
  local channel = app.channelService:getChannel(name)
  names[uid] = nil
  if channel and channel:leave(uid, sid) then
    channel:pushMessage({ route = "onLeave", user = nameOf(uid) })
  end
end

return { chatHandler = chatHandler, chatRemote = chatRemote }
