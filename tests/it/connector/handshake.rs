//! The handshake: who is let in, what they are told, and how long they may take.

use super::{reason, setup, watcher, works};
use chathost_tests::{Client, Cluster, Event, Hello, Transport};
use pomelo_protocol::PackageKind;
use serde_json::{Value, json};

const HOOKS: &str = r#"
app:configure("all", "connector", function()
  app:set("connectorConfig", {
    checkClient = function(kind, version)
      return kind ~= "old" and version ~= "0.0.0"
    end,
    handshake = function(msg, address)
      local user = msg.user or {}
      if user.wait then app:sleep(1) end
      if user.name == "mallory" then error { code = 403, message = "a secret" } end
      if user.name == "nobody" then return nil end
      return { hello = user.name, port = tonumber(address:match("%d+$")) }
    end,
  })
end)
"#;

async fn answered(cluster: &Cluster, sys: Value, user: Value) -> (Client, Value) {
    let mut client = cluster.open("connector-1", Transport::WebSocket).await;
    let answer = client.shake(&Hello { sys, user }).await;
    (client, answer)
}

#[tokio::test]
async fn check_client_and_user() {
    let cluster = setup(&json!({ "heartbeat": 30 }))
        .script("app.lua", HOOKS)
        .start()
        .await;
    let sys = json!({ "type": "new", "version": "1.0.0" });

    // Whoever is refused hears why, and then the connection is closed.
    for (sys, user, expected) in [
        (
            json!({ "type": "old", "version": "1" }),
            json!({}),
            json!({ "code": 501 }),
        ),
        (
            json!({ "type": "new", "version": "0.0.0" }),
            json!({}),
            json!({ "code": 501 }),
        ),
        (sys.clone(), json!({ "name": "mallory" }), json!({ "code": 500 })),
    ] {
        let (mut client, answer) = answered(&cluster, sys, user).await;
        assert_eq!(answer, expected);
        assert_eq!(client.closed().await, Some(1000));
    }

    let (mut client, answer) = answered(&cluster, sys.clone(), json!({ "name": "alice" })).await;
    let port = client.socket().local_addr().port();
    let user = json!({ "hello": "alice", "port": port });
    assert_eq!(
        answer,
        json!({ "code": 200, "sys": { "heartbeat": 30 }, "user": user })
    );

    let (_, answer) = answered(&cluster, sys, json!({ "name": "nobody" })).await;
    assert_eq!(answer, json!({ "code": 200, "sys": { "heartbeat": 30 } }));
}

/// The functions may wait. Until they have answered, nothing else is heard.
#[tokio::test]
async fn hooks_may_wait() {
    let cluster = setup(&json!({})).script("app.lua", HOOKS).start().await;
    let mut client = cluster.open("connector-1", Transport::WebSocket).await;
    let hello = json!({ "sys": { "type": "new" }, "user": { "name": "alice", "wait": true } }).to_string();
    client
        .send_package(PackageKind::Handshake, hello.as_bytes())
        .await;
    client.send_package(PackageKind::HandshakeAck, b"").await;
    client.ask_as(1, super::ECHO, json!({})).await;
    assert!(matches!(client.next().await, Event::Handshake(answer) if answer["user"]["hello"] == "alice"));
    client.send_package(PackageKind::HandshakeAck, b"").await;
    client.ask_as(2, super::ECHO, json!({})).await;
    assert!(matches!(client.next().await, Event::Response(2, _)));
}

/// `handshake(msg, address, next)`, as Pomelo's.
#[tokio::test]
async fn hooks_with_next() {
    let hooks = r#"
        if app.serverType == "connector" then
          app:set("connectorConfig", {
            handshake = function(msg, address, next)
              app:setTimeout(function()
                if msg.user.name then next(nil, { hello = msg.user.name }) else next("no name") end
              end, 1)
            end,
          })
        end"#;
    let cluster = setup(&json!({})).script("app.lua", hooks).start().await;
    let (_, answer) = answered(&cluster, json!({ "type": "x" }), json!({ "name": "bob" })).await;
    assert_eq!(
        answer,
        json!({ "code": 200, "sys": {}, "user": { "hello": "bob" } })
    );
    let (mut client, answer) = answered(&cluster, json!({ "type": "x" }), json!({})).await;
    assert_eq!(answer, json!({ "code": 500 }));
    client.closed().await;
}

#[tokio::test]
async fn a_hook_that_fails_refuses() {
    for hook in [
        "checkClient = function() error('broken') end",
        "handshake = function() return nil + 1 end",
        "handshake = function() while true do end end",
        "handshake = function() return function() end end",
    ] {
        let hooks =
            format!("if app.serverType == 'connector' then app:set('connectorConfig', {{ {hook} }}) end");
        let cluster = setup(&json!({})).script("app.lua", &hooks).start().await;
        let (mut client, answer) = answered(&cluster, json!({ "type": "x" }), json!({})).await;
        assert_eq!(answer, json!({ "code": 500 }), "{hook}");
        client.closed().await;
    }
}

#[tokio::test]
async fn whoever_does_not_shake_hands_is_sent_away() {
    let settings = json!({ "limits": { "handshakeSeconds": 1 } });
    let cluster = setup(&settings).start().await;
    let mut watcher = watcher(&cluster).await;
    let mut working = cluster.client("connector-1").await;

    let mut silent_web = cluster.open("connector-1", Transport::WebSocket).await;
    let mut silent_tcp = cluster.open("connector-1", Transport::Tcp).await;
    let mut no_ack = cluster.open("connector-1", Transport::WebSocket).await;
    no_ack.shake(&Hello::default()).await;
    // Bytes that are no handshake win no time.
    let mut dawdler = cluster.open("connector-1", Transport::Tcp).await;
    dawdler.send(b"\x01\x00\x00").await;
    for client in [&mut silent_web, &mut silent_tcp, &mut no_ack, &mut dawdler] {
        client.closed().await;
        assert_eq!(reason(&mut watcher).await, "handshake timeout");
    }
    // Whoever is in has all the time in the world.
    works(&mut working).await;
}

#[tokio::test]
async fn heartbeats_answered_and_missed() {
    let settings = json!({ "heartbeat": 1, "heartbeatTimeout": 2 });
    let cluster = setup(&settings).start().await;
    let mut watcher = watcher(&cluster).await;
    let mut client = cluster.client("connector-1").await;
    client.heartbeat().await;
    client.send_package(PackageKind::Heartbeat, b"").await;
    client.heartbeat().await;
    assert_eq!(client.closed().await, Some(1000));
    assert_eq!(reason(&mut watcher).await, "heartbeat timeout");
}

#[tokio::test]
async fn silence_without_heartbeats() {
    let cluster = setup(&json!({ "limits": { "idleSeconds": 1 } })).start().await;
    let mut watcher = watcher(&cluster).await;
    let mut client = cluster.client("connector-1").await;
    works(&mut client).await;
    // Unlike with heartbeats, anything that is said counts; none is answered.
    client.send_package(PackageKind::Heartbeat, b"").await;
    assert_eq!(client.closed().await, Some(1000));
    assert_eq!(client.unasked(), []);
    assert_eq!(reason(&mut watcher).await, "idle timeout");
}
