//! `app`: what `app.lua` configures, values, servers, timers.

use chathost_tests::Setup;
use serde_json::json;

#[tokio::test]
async fn configure() {
    let app = r#"
        local seen = json.array {}
        local function note(name) return function() table.insert(seen, name) end end
        app:configure(note("always"))
        app:configure("development", note("development"))
        app:configure("production", note("production"))
        app:configure("production|development", "connector|gate", note("lists"))
        app:configure("all", "chat", note("chat"))
        app:configure("all", "all", note("all"))
        app:configure(nil, "connector", note("connector"))
        app:set("seen", seen)"#;
    let script = "return { labHandler = { seen = function() return app:get('seen') end } }";
    let cluster = Setup::connector(script)
        .script("chat.lua", script)
        .script("app.lua", app)
        .servers("chat", 1)
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    let seen = client.request("connector.labHandler.seen", json!({})).await;
    assert_eq!(
        seen,
        json!(["always", "development", "lists", "all", "connector"])
    );
    let seen = client.request("chat.labHandler.seen", json!({})).await;
    assert_eq!(seen, json!(["always", "development", "chat", "all"]));
}

#[tokio::test]
async fn values_and_servers() {
    let script = r#"
        local labHandler = {}
        function labHandler.values()
          app:set("list", { 1, { 2 } })
          app:set("gone", 1)
          app:set("gone", nil)
          app:enable("feature")
          app:disable("bug")
          return {
            list = app:get("list"), gone = app:get("gone"), nothing = app:get("nothing"),
            enabled = app:enabled("feature"), disabled = app:disabled("bug"), unknown = app:disabled("unknown"),
            id = app:get("serverId"), service = app:get("channelService") == app.channelService,
          }
        end
        function labHandler.servers()
          local ids = json.array {}
          for _, server in app:getServersByType("chat") do table.insert(ids, server.id) end
          return {
            chats = ids, none = app:getServersByType("nosuch"), types = app:getServerTypes(),
            color = app:getServerById("chat-1").color, unknown = app:getServerById("x"),
            own = app:getCurServer().id, type = app:getServerType(), frontend = app:isFrontend(),
            backend = app:isBackend(), master = app:isMaster(), all = app:getServers()["chat-2"].serverType,
            port = app:getCurServer().clientPort,
          }
        end
        return { labHandler = labHandler }"#;
    let cluster = Setup::connector(script)
        .server(
            "chat",
            json!({ "id": "chat-1", "host": "127.0.0.1", "port": 0, "color": "red" }),
        )
        .server("chat", json!({ "id": "chat-2", "host": "127.0.0.1", "port": 0 }))
        .script("chat.lua", "return { chatHandler = {} }")
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    let values = client.request("connector.labHandler.values", json!({})).await;
    let expected = json!({
        "list": [1, [2]], "enabled": true, "disabled": true, "unknown": true, "id": "connector-1", "service": true,
    });
    assert_eq!(values, expected);
    let servers = client.request("connector.labHandler.servers", json!({})).await;
    let expected = json!({
        "chats": ["chat-1", "chat-2"], "none": [], "types": ["chat", "connector"], "color": "red",
        "own": "connector-1", "type": "connector", "frontend": true, "backend": false, "master": false, "all": "chat",
        "port": cluster.address("connector-1").port(),
    });
    let mut sorted = servers.clone();
    sorted["types"]
        .as_array_mut()
        .unwrap()
        .sort_by_key(ToString::to_string);
    assert_eq!(sorted, expected);
}

#[tokio::test]
async fn timers() {
    let script = r#"
        local labHandler = {}
        local log = json.array {}
        local function note(what) return function() table.insert(log, what) end end
        -- One that is set while the file loads begins when it serves.
        app:setTimeout(note("loaded"), 1)
        function labHandler.run()
          local cleared = app:setTimeout(note("cleared"), 1)
          app:clearTimeout(cleared)
          app:clearTimeout(cleared)
          app:clearTimeout(nil)
          local ticks, interval = 0, nil
          interval = app:setInterval(function()
            ticks += 1
            note("tick")()
            if ticks == 3 then app:clearInterval(interval) end
          end, 1)
          app:setTimeout(function() error("heard by nobody") end, 1)
          app:setTimeout(function() app:sleep(1) note("slept")() end, 1)
          while ticks < 3 or not table.find(log, "slept") or not table.find(log, "loaded") do app:sleep(1) end
          app:sleep(5)
          local count = 0
          for _, what in log do if what == "tick" then count += 1 end end
          return { ticks = count, cleared = table.find(log, "cleared") ~= nil }
        end
        function labHandler.clock()
          local before = app:clock()
          app:sleep(5)
          return { waited = app:clock() - before >= 5, now = app:clock() > 1.7e12 }
        end
        --- A timer's function can do what a handler can.
        function labHandler.later(msg, session)
          local sid, frontend = session.id, session.frontendId
          app:setTimeout(function()
            local found = app.backendSessionService:get(frontend, sid)
            app.channelService:broadcast("connector", "onLater", { found = found ~= nil })
          end, 1)
        end
        return { labHandler = labHandler }"#;
    let cluster = Setup::connector(script).start().await;
    let mut client = cluster.client("connector-1").await;
    let answer = client.request("connector.labHandler.run", json!({})).await;
    assert_eq!(answer, json!({ "ticks": 3, "cleared": false }));
    let answer = client.request("connector.labHandler.clock", json!({})).await;
    assert_eq!(answer, json!({ "waited": true, "now": true }));
    client.request("connector.labHandler.later", json!({})).await;
    assert_eq!(client.push("onLater").await, json!({ "found": true }));
}
