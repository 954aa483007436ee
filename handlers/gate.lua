-- The gate: tells a client which connector to connect to.

local gateHandler = {}

--- `{ uid }` → `{ code = 200, host, port }`. A name always gets the same connector while the list of connectors is the
--- same: that is what lets the connector find out that a name is taken.
function gateHandler.queryEntry(msg)
  local uid = msg.uid
  if type(uid) ~= "string" and type(uid) ~= "number" or uid == "" or uid == 0 then
    return { code = 500 }
  end
  local connector = app:dispatch(uid, app:getServersByType("connector"))
  if not connector then
    return { code = 500 }
  end
  return { code = 200, host = connector.clientHost or connector.host, port = connector.clientPort }
end

return { gateHandler = gateHandler }
