//! Stopping, as SIGTERM does it: what runs may end, people leave their rooms, frontends go first.

use chathost_tests::{Cluster, Event, Setup, Transport, within};
use serde_json::json;
use std::time::Instant;

/// Handlers of which one says that it has begun, and then does `wait`.
fn slow(wait: &str) -> String {
    SLOW.replace("WAIT", wait)
}

const FOR_EVER: &str = "while true do app:sleep(1) end";
const A_MOMENT: &str = "app:sleep(300)";

const SLOW: &str = r#"
local labHandler = {}

function labHandler.slow(msg, session)
  session:bind(msg.uid)
  app.channelService:pushMessageByUids("onBegun", {}, { { uid = msg.uid, sid = session.frontendId } })
  WAIT
  return { finished = true }
end

function labHandler.quick() end

return { labHandler = labHandler }
"#;

fn grace(seconds: u32) -> serde_json::Value {
    json!({ "stop": { "graceSeconds": seconds } })
}

#[tokio::test]
async fn calls_that_run_may_end() {
    let cluster = Setup::connector(&slow(A_MOMENT))
        .script("chat.lua", &slow(A_MOMENT))
        .servers("chat", 1)
        .settings(&grace(5))
        .start()
        .await;
    let mut clients = Vec::new();
    for (uid, route) in [("a", "connector.labHandler.slow"), ("b", "chat.labHandler.slow")] {
        let mut client = cluster.client("connector-1").await;
        let id = client.ask(route, json!({ "uid": uid })).await;
        client.push("onBegun").await;
        clients.push((client, id));
    }
    let address = cluster.address("connector-1");
    within("the cluster to stop", cluster.stop()).await;
    for (mut client, id) in clients {
        assert_eq!(
            client.next().await,
            Event::Response(id, json!({ "finished": true }))
        );
        assert_eq!(client.closed().await, Some(1000));
    }
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

/// When it has ended nothing is left that holds a port, whoever was there.
#[tokio::test]
async fn ports_are_free_at_once() {
    let mut port = 0;
    for round in 0..6 {
        let connector = json!({
            "id": "connector-1", "host": "127.0.0.1", "port": 0, "clientPort": port, "frontend": true,
        });
        let cluster = Setup::demo()
            .servers("connector", 0)
            .server("connector", connector)
            .start()
            .await;
        port = cluster.address("connector-1").port();
        let idle = match round % 3 {
            0 => None,
            1 => Some(cluster.open("connector-1", Transport::Tcp).await),
            _ => Some(cluster.client("connector-1").await),
        };
        within("the cluster to stop", cluster.stop()).await;
        drop(idle);
    }
}

/// While it stops nothing new begins; whoever asks is told.
#[tokio::test]
async fn nothing_new_begins() {
    let cluster = Setup::connector(&slow(FOR_EVER))
        .settings(&grace(1))
        .settings(&json!({ "connector": { "limits": { "messagesPerSecond": 100_000, "burst": 100_000 } } }))
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    let mut other = cluster.client("connector-1").await;
    let id = client
        .ask("connector.labHandler.slow", json!({ "uid": "a" }))
        .await;
    client.push("onBegun").await;
    let talk = async {
        // Until then the server does not know that it is to stop.
        loop {
            let answer = other.request("connector.labHandler.quick", json!({})).await;
            if answer != json!({}) {
                assert_eq!(
                    answer,
                    json!({ "code": 503, "message": "the server is stopping" })
                );
                break;
            }
        }
        client
    };
    let (mut client, ()) = tokio::join!(talk, within("the cluster to stop", cluster.stop()));
    // Nobody could tell it to finish: it is cut off.
    assert_eq!(client.closed().await, Some(1000));
    assert!(
        !client
            .unasked()
            .contains(&Event::Response(id, json!({ "finished": true })))
    );
}

/// What does not end in time is cut off.
#[tokio::test]
async fn calls_that_do_not_end() {
    let cluster = Setup::connector(&slow(FOR_EVER))
        .settings(&grace(1))
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    client
        .ask("connector.labHandler.slow", json!({ "uid": "a" }))
        .await;
    client.push("onBegun").await;
    let began = Instant::now();
    within("the cluster to stop", cluster.stop()).await;
    assert!(began.elapsed().as_secs_f64() >= 1.0, "it was given its time");
    assert_eq!(client.closed().await, Some(1000));
}

/// The leave logic runs while the servers that it needs are still there: a handler on the gate waits to be told by the
/// chat server that somebody has left, and its client hears of it before its own connection ends.
#[tokio::test]
async fn people_leave() {
    let gate = r#"
        local gateHandler = {}
        function gateHandler.waitForLeave()
          app.channelService:broadcast("gate", "onBegun", {})
          while not app:get("left") do app:sleep(1) end
          return { left = app:get("left") }
        end
        local gateRemote = {}
        function gateRemote.left(name) app:set("left", name) end
        return { gateHandler = gateHandler, gateRemote = gateRemote }"#;
    let demo = std::fs::read_to_string(chathost_tests::root().join("handlers/chat.lua")).unwrap();
    let tell = r#"local kick = chatRemote.kick
        function chatRemote.kick(uid, sid, name)
          kick(uid, sid, name)
          app.rpc.gate.gateRemote.left("", uid)
        end
        return { chatHandler"#;
    let chat = demo.replace("return { chatHandler", tell);
    let cluster = Setup::demo()
        .servers("gate", 0)
        .server(
            "gate",
            json!({ "id": "gate-1", "host": "127.0.0.1", "port": 0, "clientPort": 0, "frontend": true }),
        )
        .script("gate.lua", gate)
        .script("chat.lua", &chat)
        .settings(&grace(5))
        .start()
        .await;
    let mut watcher = cluster.client("gate-1").await;
    let mut alice = cluster.enter("alice", "tea").await;
    let id = watcher.ask("gate.gateHandler.waitForLeave", json!({})).await;
    watcher.push("onBegun").await;
    within("the cluster to stop", cluster.stop()).await;
    assert_eq!(alice.closed().await, Some(1000));
    assert_eq!(
        watcher.next().await,
        Event::Response(id, json!({ "left": "alice*tea" }))
    );
    assert_eq!(watcher.closed().await, Some(1000));
}

/// Connections of every kind are closed, shaken or not.
#[tokio::test]
async fn every_connection_is_closed() {
    let cluster: Cluster = Setup::connector(&slow(FOR_EVER)).start().await;
    let mut shaken = cluster.client("connector-1").await;
    let mut silent_web = cluster.open("connector-1", Transport::WebSocket).await;
    let mut silent_tcp = cluster.open("connector-1", Transport::Tcp).await;
    shaken.request("connector.labHandler.quick", json!({})).await;
    within("the cluster to stop", cluster.stop()).await;
    assert_eq!(shaken.closed().await, Some(1000));
    assert_eq!(silent_web.closed().await, Some(1000));
    assert_eq!(silent_tcp.closed().await, None);
}
