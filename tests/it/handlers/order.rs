//! Requests of a session run one after another, those of different sessions beside each other.

use chathost_tests::{Cluster, Event, Setup};
use serde_json::{Value, json};

const SCRIPT: &str = r#"
local labHandler = {}

function labHandler.hold(msg)
  while not app:get("released") do app:sleep(1) end
  return { held = msg.n }
end

function labHandler.quick(msg)
  return { quick = msg.n }
end

function labHandler.release()
  app:set("released", true)
  return { released = true }
end

--- Reads, waits and writes: together with another of its session it would lose a step.
function labHandler.step(msg, session)
  local count = app:get("count") or 0
  app:sleep(1)
  app:set("count", count + 1)
  return count + 1
end

return { labHandler = labHandler }
"#;

async fn start(app: &str) -> Cluster {
    Setup::connector("return { labHandler = {} }")
        .script("chat.lua", SCRIPT)
        .script("app.lua", app)
        .servers("chat", 1)
        .start()
        .await
}

#[tokio::test]
async fn one_at_a_time() {
    let cluster = start("").await;
    let mut client = cluster.client("connector-1").await;
    let mut other = cluster.client("connector-1").await;
    let held = client.ask("chat.labHandler.hold", json!({ "n": 1 })).await;
    let quick = client.ask("chat.labHandler.quick", json!({ "n": 2 })).await;
    // Another session does not wait.
    let answer = other.request("chat.labHandler.quick", json!({ "n": 3 })).await;
    assert_eq!(answer["quick"], 3);
    other.request("chat.labHandler.release", json!({})).await;
    let first = client.next().await;
    assert_eq!(
        first,
        Event::Response(held, json!({ "held": 1 })),
        "the second did not overtake"
    );
    assert_eq!(client.next().await, Event::Response(quick, json!({ "quick": 2 })));
}

#[tokio::test]
async fn none_lost_between_read_and_write() {
    let cluster = start("").await;
    let mut client = cluster.client("connector-1").await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(client.ask("chat.labHandler.step", json!({})).await);
    }
    for (place, id) in ids.into_iter().enumerate() {
        assert_eq!(client.response(id).await, Value::from(place + 1));
    }
}

/// A route may opt out; whoever waits in it stands in nobody's way.
#[tokio::test]
async fn concurrent() {
    let cluster = start("app:concurrent('chat.labHandler.hold')").await;
    let mut client = cluster.client("connector-1").await;
    let held: Vec<u64> = {
        let mut held = Vec::new();
        for n in 0..3 {
            held.push(client.ask("chat.labHandler.hold", json!({ "n": n })).await);
        }
        held
    };
    let answer = client.request("chat.labHandler.quick", json!({ "n": 9 })).await;
    assert_eq!(answer["quick"], 9);
    client.request("chat.labHandler.release", json!({})).await;
    for (n, id) in held.into_iter().enumerate() {
        assert_eq!(client.response(id).await["held"], n);
    }
}

/// The order is kept per server: what the connector answers itself overtakes what goes elsewhere.
#[tokio::test]
async fn per_server() {
    let cluster = Setup::connector(&SCRIPT.replace("app:get(\"released\")", "true"))
        .script("chat.lua", SCRIPT)
        .servers("chat", 1)
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    let held = client.ask("chat.labHandler.hold", json!({ "n": 1 })).await;
    let own = client
        .request("connector.labHandler.quick", json!({ "n": 2 }))
        .await;
    assert_eq!(own["quick"], 2);
    let mut other = cluster.client("connector-1").await;
    other.request("chat.labHandler.release", json!({})).await;
    assert_eq!(client.response(held).await["held"], 1);
}
