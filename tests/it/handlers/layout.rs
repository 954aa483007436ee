//! Where handlers may stand, and what can be called of them.

use chathost_tests::{Setup, within};
use serde_json::json;

#[tokio::test]
async fn routes_of_two_parts() {
    let script = r#"
        local function named(name) return function() return name end end
        return {
          aHandler = { only = named("a.only"), both = named("a.both") },
          bHandler = { both = named("b.both"), _hidden = named("hidden") },
          aRemote = { secret = named("secret"), only = named("remote") },
          helper = function() return "helper" end,
          version = 7,
        }"#;
    let cluster = Setup::connector(script).start().await;
    let mut client = cluster.client("connector-1").await;
    let unhandled = json!({ "code": 500 });
    for (route, answer) in [
        ("connector.aHandler.only", json!("a.only")),
        ("connector.only", json!("a.only")),
        ("connector.aHandler.both", json!("a.both")),
        ("connector.bHandler.both", json!("b.both")),
        // Which of the two?
        ("connector.both", unhandled.clone()),
        // Not for clients.
        ("connector.bHandler._hidden", unhandled.clone()),
        ("connector._hidden", unhandled.clone()),
        ("connector.aRemote.secret", unhandled.clone()),
        ("connector.secret", unhandled.clone()),
        ("connector.helper", unhandled.clone()),
        ("connector.version", unhandled.clone()),
        ("connector.aHandler", unhandled.clone()),
        ("connector.aHandler.only.more", unhandled.clone()),
        ("connector.ahandler.only", unhandled),
    ] {
        assert_eq!(client.request(route, json!({})).await, answer, "{route}");
    }
}

/// Pomelo's folders, alone and beside the flat file; a file may return a function of `app`.
#[tokio::test]
async fn folders() {
    let cluster = Setup::connector("return { flatHandler = { f = function() return 'flat' end } }")
        .script(
            "connector/handler/timeHandler.lua",
            "return { now = function() return app.rpc.clock.clockRemote.now('x') end }",
        )
        // The tutorial's own names: connector.handler.login.
        .script(
            "connector/handler/handler.lua",
            "return function(app) return { login = function() return app.serverId end } end",
        )
        .script("clock/remote/clockRemote.lua", "return { now = function() return require('util/clock')() end }")
        .script("clock/handler/clockHandler.lua", "local now = require('util/clock') return { now = now }")
        .script("util/clock.lua", "return function() return 'noon' end")
        .script("connector/handler/nested/ignored.lua", "error('nobody loads this')")
        .servers("clock", 1)
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    for (route, answer) in [
        ("connector.flatHandler.f", json!("flat")),
        ("connector.timeHandler.now", json!("noon")),
        ("connector.handler.login", json!("connector-1")),
        ("clock.clockHandler.now", json!("noon")),
        ("clock.now", json!("noon")),
    ] {
        assert_eq!(client.request(route, json!({})).await, answer, "{route}");
    }
}

/// A module is loaded once per server, before the first message; what is not loaded by then is not there.
#[tokio::test]
async fn require() {
    let script = r#"
        local count = require("util/count")
        require("util/count")
        local same = require("util/count.lua") == count
        local labHandler = {}
        function labHandler.state() return { loaded = count.loaded, same = same } end
        function labHandler.late()
          local ok, cause = pcall(require, "util/late")
          return { ok = ok, cause = tostring(cause) }
        end
        function labHandler.outside()
          local answers = {}
          for _, name in { "../config/servers", "/etc/passwd", "util/../app", "nosuch", "" } do
            answers[name] = pcall(require, name)
          end
          return answers
        end
        return { labHandler = labHandler }"#;
    let cluster = Setup::connector(script)
        .script(
            "util/count.lua",
            "local m = { loaded = 0 } m.loaded = m.loaded + 1 return m",
        )
        .script("util/late.lua", "return {}")
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    let state = client.request("connector.labHandler.state", json!({})).await;
    assert_eq!(state, json!({ "loaded": 1, "same": true }));
    let late = client.request("connector.labHandler.late", json!({})).await;
    assert_eq!(late["ok"], false);
    assert!(
        late["cause"].as_str().unwrap().contains("handlers/util/late.lua"),
        "{late}"
    );
    let outside = client.request("connector.labHandler.outside", json!({})).await;
    let answers = outside.as_object().unwrap();
    assert!(
        answers.len() == 5 && answers.values().all(|ok| *ok == false),
        "{outside}"
    );
}

/// Scripts cannot reach what is not theirs.
#[tokio::test]
async fn sandbox() {
    let script = r#"
        local labHandler = {}
        function labHandler.names()
          local there = json.array {}
          for _, name in { "io", "loadstring", "load", "dofile", "getfenv", "setfenv", "package", "debug", "newproxy" } do
            local value = _G[name]
            if name == "debug" and type(value) == "table" then value = value.getregistry or value.sethook end
            if value ~= nil then table.insert(there, name) end
          end
          for _, name in { "execute", "getenv", "remove", "exit", "rename", "tmpname" } do
            if os[name] ~= nil then table.insert(there, "os." .. name) end
          end
          return there
        end
        function labHandler.tamper()
          local tampered = json.array {}
          for name, how in {
            string = function() string.rep = nil end,
            app = function() app.rpc = nil end,
            service = function() app.channelService.createChannel = nil end,
            meta = function() getmetatable("").__index = nil end,
          } do
            if pcall(how) then table.insert(tampered, name) end
          end
          return tampered
        end
        --- A global that one file sets is that file's own.
        function labHandler.global() leaked = true return { leaked = leaked, seen = require("other").seen() } end
        require("other")
        return { labHandler = labHandler }"#;
    let cluster = Setup::connector(script)
        .script(
            "other.lua",
            "return { seen = function() return leaked ~= nil end }",
        )
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    for (method, answer) in [
        ("names", json!([])),
        ("tamper", json!([])),
        ("global", json!({ "leaked": true, "seen": false })),
    ] {
        let route = format!("connector.labHandler.{method}");
        let is = within(method, client.request(&route, json!({}))).await;
        assert_eq!(is, answer, "{method}");
    }
}
