//! Calls between servers: who is called, what comes back, and that nobody waits for ever.

use chathost_tests::{Client, Cluster, Setup};
use serde_json::{Value, json};

fn setup() -> Setup {
    Setup::connector("").servers("chat", 3).fixture("rpc")
}

async fn start() -> (Cluster, Client) {
    let cluster = setup().start().await;
    let client = cluster.client("connector-1").await;
    (cluster, client)
}

/// What a call of `chatRemote.<method>` came to.
async fn call(client: &mut Client, method: &str, call: Value) -> Value {
    let mut body = json!({ "type": "chat", "method": format!("chatRemote.{method}") });
    body.as_object_mut()
        .unwrap()
        .extend(call.as_object().unwrap().clone());
    client.request("connector.callHandler.call", body).await
}

/// The server that the call went to.
async fn place(client: &mut Client, param: Value) -> String {
    let answer = call(client, "echo", json!({ "param": param })).await;
    answer["results"][0]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

#[tokio::test]
async fn results() {
    let (_cluster, mut client) = start().await;
    let answer = call(&mut client, "getCurrentTime", json!({})).await;
    assert_eq!(answer["results"], json!([12, null, 59]));
    let args = json!(["text", 1.5, true, [1, null, { "deep": [] }], {}]);
    let answer = call(&mut client, "echo", json!({ "param": "x", "args": args })).await;
    assert_eq!(
        answer["results"].as_array().unwrap()[1..],
        *args.as_array().unwrap()
    );
    // Nothing is a result, too.
    let answer = call(&mut client, "release", json!({})).await;
    assert_eq!(answer["results"], json!([]));
}

/// Without a rule the session's uid is hashed, with a value the value: the original's checksum decides.
#[tokio::test]
async fn default_route() {
    let (_cluster, mut client) = start().await;
    // crc32 as recorded (POMELO.md 1.7), without its sign, modulo 3.
    for (key, number) in [
        ("alice", 663_665_735),
        ("bob", 171_200_192),
        ("room1", 462_210_518),
        ("test", 662_733_300),
        ("张三", 1_384_018_183),
        ("大厅", 114_218_805),
        ("小明*大厅", 698_347_261),
        ("", 0),
    ] {
        let expected = format!("chat-{}", number % 3 + 1);
        assert_eq!(place(&mut client, json!(key)).await, expected, "{key}");
        let mut own = _cluster.client("connector-1").await;
        own.request("connector.callHandler.bind", json!({ "uid": key }))
            .await;
        assert_eq!(place(&mut own, Value::Null).await, expected, "{key} as a uid");
    }
    // Nobody is as good as the empty uid.
    assert_eq!(place(&mut client, Value::Null).await, "chat-1");
}

/// `app:route(type, function)`: the first parameter is what the caller passed, a session or any value.
#[tokio::test]
async fn route_functions() {
    let rules = r#"
        app:route("chat", function(param)
          if type(param) == "userdata" then
            return param:get("server") or "chat-2"
          elseif type(param) == "number" then
            local servers = app:getServersByType("chat")
            return servers[param % #servers + 1].id
          elseif param == "raise" then
            error("no")
          elseif param == "nothing" then
            return nil
          elseif param == "loop" then
            while true do end
          end
          return param
        end)"#;
    let cluster = setup().script("app.lua", rules).start().await;
    let mut client = cluster.client("connector-1").await;
    assert_eq!(place(&mut client, Value::Null).await, "chat-2");
    client
        .request(
            "connector.callHandler.set",
            json!({ "key": "server", "value": "chat-3" }),
        )
        .await;
    assert_eq!(place(&mut client, Value::Null).await, "chat-3");
    assert_eq!(place(&mut client, json!(4)).await, "chat-2");
    assert_eq!(place(&mut client, json!("chat-1")).await, "chat-1");
    for (param, code) in [
        ("raise", 500),
        ("nothing", 500),
        ("loop", 500),
        ("connector-1", 502),
        ("nosuch", 502),
    ] {
        let answer = call(&mut client, "echo", json!({ "param": param })).await;
        assert_eq!(answer["error"]["code"], code, "{param}: {answer}");
    }
    // A client's own request that cannot be routed is answered as the original does.
    client
        .request(
            "connector.callHandler.set",
            json!({ "key": "server", "value": "nosuch" }),
        )
        .await;
    let answer = client.request("chat.chatHandler.anything", json!({})).await;
    assert_eq!(answer, json!({ "code": 500 }));
}

/// `app:route(type, "setting")`: that setting of the session is hashed.
#[tokio::test]
async fn route_by_a_setting() {
    let cluster = setup()
        .script("app.lua", "app:route('chat', 'rid')")
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    let answer = call(&mut client, "echo", json!({})).await;
    assert_eq!(answer["error"]["code"], 502, "{answer}");
    let set = json!({ "key": "rid", "value": "room1" });
    client.request("connector.callHandler.set", set).await;
    let expected = format!("chat-{}", 462_210_518 % 3 + 1);
    assert_eq!(place(&mut client, Value::Null).await, expected);
    assert_eq!(
        place(&mut client, json!("room1")).await,
        expected,
        "a value is hashed itself"
    );
}

#[tokio::test]
async fn to_one_server_and_to_all() {
    let (_cluster, mut client) = start().await;
    let to = |id: &str| json!({ "way": "toServer", "param": id, "args": ["x"] });
    let answer = call(&mut client, "echo", to("chat-3")).await;
    assert_eq!(answer["results"], json!(["chat-3", "x"]));
    let answer = call(&mut client, "echo", to("*")).await;
    let all = json!([{ "chat-1": ["chat-1", "x"], "chat-2": ["chat-2", "x"], "chat-3": ["chat-3", "x"] }]);
    assert_eq!(answer["results"], all);
    let answer = call(&mut client, "echo", to("chat-9")).await;
    assert_eq!(answer["error"]["code"], 502, "{answer}");
    // One error is the answer.
    let answer = call(
        &mut client,
        "refuse",
        json!({ "way": "toServer", "param": "*", "args": [418, "tea"] }),
    )
    .await;
    assert_eq!(answer["error"], json!({ "code": 418, "message": "tea" }));
}

/// `.notify(…)` does not wait, and hears of no error.
#[tokio::test]
async fn notify() {
    let (_cluster, mut client) = start().await;
    let quiet = |param: &str| json!({ "way": "notify", "param": param, "args": ["news"] });
    for method in ["tell", "crash", "nosuch"] {
        let answer = call(&mut client, method, quiet("alice")).await;
        assert_eq!(answer, json!({ "results": [] }), "{method}");
    }
    let by = format!("chat-{}", 663_665_735 % 3 + 1);
    assert_eq!(client.push("onTold").await, json!({ "what": "news", "by": by }));
}

#[tokio::test]
async fn errors_that_are_caught() {
    let (_cluster, mut client) = start().await;
    for (method, args, code, message) in [
        ("refuse", json!([404, "not here"]), 404, "not here"),
        ("crash", json!([]), 500, "chatRemote.crash failed"),
        (
            "nosuch",
            json!([]),
            500,
            "no such service/method:chat.chatRemote.nosuch",
        ),
    ] {
        let answer = call(&mut client, method, json!({ "args": args })).await;
        assert_eq!(
            answer["error"],
            json!({ "code": code, "message": message }),
            "{method}"
        );
    }
    let nowhere = json!({ "type": "nosuch", "method": "a.b" });
    let answer = client.request("connector.callHandler.call", nowhere).await;
    let expected = json!({ "code": 502, "message": "can not find server info for type:nosuch" });
    assert_eq!(answer["error"], expected);
}

/// A client never learns more of an error that nobody caught than what the remote meant to tell.
#[tokio::test]
async fn errors_that_nobody_catches() {
    let (_cluster, mut client) = start().await;
    for (method, args, expected) in [
        ("crash", json!([]), json!({ "code": 500 })),
        ("nosuch", json!([]), json!({ "code": 500 })),
        (
            "refuse",
            json!([404, "not here"]),
            json!({ "code": 404, "message": "not here" }),
        ),
    ] {
        let body = json!({ "type": "chat", "method": format!("chatRemote.{method}"), "args": args });
        let answer = client.request("connector.callHandler.callUncaught", body).await;
        assert_eq!(answer, expected, "{method}");
    }
}

#[tokio::test]
async fn timeout() {
    let cluster = setup()
        .settings(&json!({ "connector": { "rpc": { "timeoutSeconds": 1 } } }))
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    let answer = call(&mut client, "hold", json!({ "param": "alice" })).await;
    assert_eq!(answer["error"]["code"], 504, "{answer}");
    let body = json!({ "type": "chat", "method": "chatRemote.hold" });
    let answer = client.request("connector.callHandler.callUncaught", body).await;
    assert_eq!(
        answer,
        json!({ "code": 504, "message": "no answer within the time limit" })
    );
    // What comes too late goes nowhere, and the next call is as good as ever.
    let answer = call(&mut client, "release", json!({ "way": "toServer", "param": "*" })).await;
    assert!(answer["error"].is_null(), "{answer}");
    let answer = call(&mut client, "hold", json!({ "param": "alice" })).await;
    assert_eq!(answer["results"], json!(["released"]));
}

/// Only so many calls may wait for a server; the next one fails at once.
#[tokio::test]
async fn too_many_waiting() {
    let cluster = setup()
        .settings(&json!({ "connector": { "rpc": { "maxPending": 1 } } }))
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    let mut other = cluster.client("connector-1").await;
    let hold = json!({
        "type": "chat", "method": "chatRemote.hold", "way": "toServer", "param": "chat-1",
    });
    let waiting = client.ask("connector.callHandler.call", hold).await;
    client.push("onHeld").await;
    let echo = json!({ "way": "toServer", "param": "chat-1" });
    let refused = call(&mut other, "echo", echo).await;
    assert_eq!(refused["error"]["code"], 503, "{refused}");
    // Other servers are another matter.
    let elsewhere = call(
        &mut other,
        "echo",
        json!({ "way": "toServer", "param": "chat-2" }),
    )
    .await;
    assert_eq!(elsewhere["results"], json!(["chat-2"]));
    // A notify waits for nothing.
    call(&mut other, "release", json!({ "way": "notify", "param": "" })).await;
    assert_eq!(client.response(waiting).await["results"], json!(["released"]));
}

/// From a backend to a frontend and back, and to the own server.
#[tokio::test]
async fn in_every_direction() {
    let (_cluster, mut client) = start().await;
    let relay = json!({ "way": "toServer", "param": "chat-2", "args": ["connector-1", "hello"] });
    let answer = call(&mut client, "relay", relay).await;
    assert_eq!(answer["results"], json!(["connector-1", "hello"]));
    let own = json!({ "type": "connector", "method": "connectorRemote.echo", "args": ["self"] });
    let answer = client.request("connector.callHandler.call", own).await;
    assert_eq!(answer["results"], json!(["connector-1", "self"]));
}

/// Pomelo's lowest level: `app:rpcInvoke(id, msg)`.
#[tokio::test]
async fn rpc_invoke() {
    let (_cluster, mut client) = start().await;
    let msg = json!({
        "namespace": "user", "serverType": "chat", "service": "chatRemote", "method": "echo", "args": ["x"],
    });
    let answer = client
        .request(
            "connector.callHandler.invoke",
            json!({ "id": "chat-2", "msg": msg }),
        )
        .await;
    assert_eq!(answer["results"], json!(["chat-2", "x"]));
}

/// A remote that calls itself on its own server, each call inside the other, gets as far as Luau lets it; the server goes on.
#[tokio::test]
async fn a_remote_that_calls_itself() {
    let script = r#"
        local labHandler, labRemote = {}, {}
        function labRemote.again(depth)
          labRemote.deepest = depth
          return app.rpc.connector.labRemote.again.toServer("connector-1", depth + 1)
        end
        function labHandler.fall()
          local ok = pcall(labRemote.again, 1)
          return { ok = ok, deep = labRemote.deepest > 10 }
        end
        function labHandler.nobody()
          local _, raised = pcall(app.rpc.connector.labRemote.again.toServer, string.rep("x", 1000), 1)
          return raised.code
        end
        return { labHandler = labHandler, labRemote = labRemote }"#;
    let cluster = Setup::connector(script).start().await;
    let mut client = cluster.client("connector-1").await;
    let fallen = client.request("connector.labHandler.fall", json!({})).await;
    assert_eq!(fallen, json!({ "ok": false, "deep": true }));
    let nobody = client.request("connector.labHandler.nobody", json!({})).await;
    assert_eq!(nobody, 502, "there is no such server");
}
