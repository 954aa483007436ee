-- What the demo has no use for: a kick, an answer in protobuf, a push whose route is in the dictionary.

local entryHandler = {}

function entryHandler.login(msg, session)
  session:bind(msg.uid)
  return { code = 200 }
end

function entryHandler.echo(msg)
  return { text = msg.text, count = msg.count, numbers = msg.numbers }
end

--- A notify, so nothing but the push comes back.
function entryHandler.tell(msg, session)
  local users = { { uid = session.uid, sid = app.serverId } }
  app.channelService:pushMessageByUids("onNews", { text = msg.text }, users)
end

function entryHandler.kick(msg)
  app.sessionService:kick(msg.uid, msg.reason)
  return { code = 200 }
end

return { entryHandler = entryHandler }
