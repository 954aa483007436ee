//! Filters: before and behind handlers, in front of everything on the frontend, and around calls between servers.

use chathost_tests::{Client, Cluster, Setup};
use serde_json::{Value, json};

const HANDLERS: &str = r#"
local labHandler = {}

--- What filters left in the message.
function labHandler.trail(msg)
  return { trail = msg.trail }
end

function labHandler.fails()
  error("a secret")
end

function labHandler.refuses()
  error { code = 403, message = "no" }
end

return { labHandler = labHandler }
"#;

async fn start(app: &str) -> (Cluster, Client) {
    let cluster = Setup::connector(HANDLERS)
        .script("chat.lua", HANDLERS)
        .script("app.lua", app)
        .servers("chat", 1)
        .start()
        .await;
    let client = cluster.client("connector-1").await;
    (cluster, client)
}

async fn ask(client: &mut Client, route: &str, body: Value) -> Value {
    let (server_type, method) = route.split_once('.').unwrap();
    client
        .request(&format!("{server_type}.labHandler.{method}"), body)
        .await
}

/// In front in the order of adding, behind in reverse; an object with both, or a bare function.
#[tokio::test]
async fn order() {
    let app = r#"
        app:configure("all", "chat", function()
          local function leave(mark) return function(msg) msg.trail = (msg.trail or "") .. mark end end
          local function add(mark) return function(err, msg, session, resp) resp.trail = resp.trail .. mark end end
          app:filter { before = leave("a"), after = add("A") }
          app:before(leave("b"))
          app:filter(leave("c"))
          app:after(add("B"))
          app:filter { after = add("C") }
        end)"#;
    let (_cluster, mut client) = start(app).await;
    assert_eq!(ask(&mut client, "chat.trail", json!({})).await["trail"], "abcCBA");
    // They are the chat server's.
    assert_eq!(ask(&mut client, "connector.trail", json!({})).await, json!({}));
}

/// A filter in front may answer, refuse, and wait; with a third parameter it goes on when it calls `next`.
#[tokio::test]
async fn in_front() {
    let app = r#"
        app:before(function(msg, session)
          if msg.wait then app:sleep(1) msg.trail = "waited" end
          if msg.answer then return { answered = msg.answer, sid = session.id } end
          if msg.refuse then error { code = 403, message = msg.refuse } end
          if msg.fail then error("a secret") end
        end)
        app:before(function(msg, session, next)
          if msg.nextAnswer then return next(nil, { answered = "next" }) end
          if msg.nextError then return next("a secret") end
          if msg.nextLater then
            app:setTimeout(function() msg.trail = "later" next() end, 1)
            return
          end
          next()
        end)"#;
    let (_cluster, mut client) = start(app).await;
    for server_type in ["connector", "chat"] {
        let route = format!("{server_type}.trail");
        for (body, answer) in [
            (json!({}), json!({})),
            (json!({ "wait": true }), json!({ "trail": "waited" })),
            (json!({ "answer": 7 }), json!({ "answered": 7, "sid": 1 })),
            (
                json!({ "refuse": "why" }),
                json!({ "code": 403, "message": "why" }),
            ),
            (json!({ "fail": true }), json!({ "code": 500 })),
            (json!({ "nextAnswer": true }), json!({ "answered": "next" })),
            (json!({ "nextError": true }), json!({ "code": 500 })),
            (json!({ "nextLater": true }), json!({ "trail": "later" })),
        ] {
            assert_eq!(
                ask(&mut client, &route, body.clone()).await,
                answer,
                "{route} {body}"
            );
        }
    }
}

/// A filter behind sees the error or the answer, and may put another in its place.
#[tokio::test]
async fn behind() {
    let app = r#"
        app:after(function(err, msg, session, resp)
          if msg.quiet then return end
          if type(err) == "table" then return { was = err.code } end
          if err then return { was = "error" } end
          if msg.raise then error { code = 409, message = "late" } end
          return { was = resp.trail }
        end)"#;
    let (_cluster, mut client) = start(app).await;
    for (route, body, answer) in [
        ("chat.trail", json!({ "trail": "x" }), json!({ "was": "x" })),
        (
            "chat.trail",
            json!({ "trail": "x", "quiet": true }),
            json!({ "trail": "x" }),
        ),
        (
            "chat.trail",
            json!({ "raise": true }),
            json!({ "code": 409, "message": "late" }),
        ),
        ("chat.refuses", json!({}), json!({ "was": 403 })),
        ("chat.fails", json!({}), json!({ "was": "error" })),
        ("chat.fails", json!({ "quiet": true }), json!({ "code": 500 })),
        (
            "chat.refuses",
            json!({ "quiet": true }),
            json!({ "code": 403, "message": "no" }),
        ),
    ] {
        assert_eq!(
            ask(&mut client, route, body.clone()).await,
            answer,
            "{route} {body}"
        );
    }
}

/// `errorHandler(err, msg, resp, session)` may answer for a handler that failed.
#[tokio::test]
async fn error_handler() {
    let app = r#"
        app:set("errorHandler", function(err, msg, resp, session)
          if msg.quiet then return end
          return { code = 599, table = type(err) == "table", sid = session.id, route = msg.__route__ }
        end)"#;
    let (_cluster, mut client) = start(app).await;
    let handled = |table: bool, route: &str| json!({ "code": 599, "table": table, "sid": 1, "route": route });
    let fails = "chat.labHandler.fails";
    assert_eq!(
        ask(&mut client, "chat.fails", json!({})).await,
        handled(false, fails)
    );
    let refuses = "chat.labHandler.refuses";
    assert_eq!(
        ask(&mut client, "chat.refuses", json!({})).await,
        handled(true, refuses)
    );
    assert_eq!(
        ask(&mut client, "chat.fails", json!({ "quiet": true })).await,
        json!({ "code": 500 })
    );
    assert_eq!(ask(&mut client, "chat.trail", json!({})).await, json!({}));
}

/// The global ones stand on the frontend, in front of every message, wherever it goes.
#[tokio::test]
async fn global() {
    let app = r#"
        app:configure("all", "connector", function()
          app:globalBefore(function(msg, session)
            msg.trail = "global"
            if msg.answer then return { answered = msg.__route__ } end
            if msg.refuse then error { code = 403, message = "no" } end
          end)
          app:globalAfter(function(err, msg, session, resp)
            app.channelService:broadcast("connector", "onAfter", { resp = resp, route = msg.__route__ })
            return { too = "late" }
          end)
        end)"#;
    let (_cluster, mut client) = start(app).await;
    for server_type in ["connector", "chat"] {
        let route = format!("{server_type}.trail");
        let full = format!("{server_type}.labHandler.trail");
        for (body, answer) in [
            (json!({}), json!({ "trail": "global" })),
            (json!({ "answer": true }), json!({ "answered": full })),
            (json!({ "refuse": true }), json!({ "code": 403, "message": "no" })),
        ] {
            // Behind, the answer has gone already and cannot be changed.
            assert_eq!(
                ask(&mut client, &route, body.clone()).await,
                answer,
                "{route} {body}"
            );
            let after = client.push("onAfter").await;
            assert_eq!(after, json!({ "resp": answer, "route": full }), "{route} {body}");
        }
    }
    // Arrays go through untouched.
    let spread = client
        .request("chat.labHandler.trail", json!([{ "trail": "array" }, 2]))
        .await;
    assert_eq!(spread, json!({ "trail": "array" }));
    // A session's messages keep their order in front of filters that wait.
    let ids: Vec<u64> = {
        let mut ids = Vec::new();
        for _ in 0..10 {
            ids.push(client.ask("chat.labHandler.trail", json!({})).await);
        }
        ids
    };
    client.response(*ids.last().unwrap()).await;
    for id in &ids[..9] {
        client.response(*id).await;
    }
}

/// `(serverId, msg, opts)`: may send a call to another server, or refuse it.
#[tokio::test]
async fn rpc() {
    let app = r#"
        app:configure("all", "connector", function()
          app:rpcBefore(function(serverId, msg, opts)
            if msg.method == "forbidden" then error("no") end
            if msg.method == "redirected" then return "chat-2" end
          end)
          app:rpcAfter(function(serverId, msg, opts)
            app.channelService:broadcast("connector", "onCalled", { to = serverId, method = msg.method, service = msg.service })
          end)
        end)"#;
    let chat = r#"
        local function where() return app.serverId end
        return { chatRemote = { plain = where, redirected = where, forbidden = where } }"#;
    let connector = r#"
        local labHandler = {}
        function labHandler.call(msg)
          local ok, result = pcall(app.rpc.chat.chatRemote[msg.method].toServer, "chat-1")
          return { ok = ok, result = result }
        end
        return { labHandler = labHandler }"#;
    let cluster = Setup::connector(connector)
        .script("chat.lua", chat)
        .script("app.lua", app)
        .servers("chat", 2)
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    for (method, place) in [("plain", "chat-1"), ("redirected", "chat-2")] {
        let answer = ask(&mut client, "connector.call", json!({ "method": method })).await;
        assert_eq!(answer, json!({ "ok": true, "result": place }));
        let called = client.push("onCalled").await;
        assert_eq!(
            called,
            json!({ "to": place, "method": method, "service": "chatRemote" })
        );
    }
    let answer = ask(&mut client, "connector.call", json!({ "method": "forbidden" })).await;
    assert_eq!(
        (&answer["ok"], &answer["result"]["code"]),
        (&json!(false), &json!(500)),
        "{answer}"
    );
}

/// A message that finds too many of its client in front of the global filters is answered, and takes no place for ever.
#[tokio::test]
async fn too_many_in_front_of_the_global_filters() {
    let app = r#"
        local open = false
        app:globalBefore(function(msg)
          if msg.open then open = true end
          while msg.hold and not open do app:sleep(1) end
        end)"#;
    let cluster = Setup::connector(HANDLERS)
        .script("app.lua", app)
        .settings(&json!({ "connector": { "limits": { "requestsInFlight": 1 } } }))
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    let mut other = cluster.client("connector-1").await;
    let route = "connector.labHandler.trail";
    // One is held and one waits behind it; neither counts as a request.
    for _ in 0..2 {
        client.notify(route, json!({ "hold": true })).await;
    }
    let refused = json!({ "code": 429, "message": "too many requests are in flight" });
    for _ in 0..3 {
        assert_eq!(client.request(route, json!({})).await, refused);
    }
    other.request(route, json!({ "open": true })).await;
    // Its place is free as soon as the notifies are through; until then there is an answer each time.
    while client.request(route, json!({})).await == refused {}
    cluster.stop().await;
}
