//! The connector: what comes in, what goes out, and when a connection ends.

mod handshake;
mod limits;
mod malformed;
mod outbox;
mod transport;

use chathost_tests::{Client, Cluster, Setup};
use serde_json::{Value, json};

const ECHO: &str = "connector.labHandler.echo";

/// A connector with these settings, and a gate whose clients hear why the connector's connections end.
fn setup(connector: &Value) -> Setup {
    Setup::connector("")
        .servers("gate", 1)
        .fixture("connector")
        .settings(&json!({ "connector": connector }))
}

/// Connects to the gate, to hear [`reason`]s.
async fn watcher(cluster: &Cluster) -> Client {
    let mut watcher = cluster.client("gate-1").await;
    // Pushes are for those whose ack has arrived.
    watcher.request("gate.gateHandler.hello", json!({})).await;
    watcher
}

/// Why the next connection of the connector that ends has ended.
async fn reason(watcher: &mut Client) -> String {
    let closed = watcher.push("onClosed").await;
    closed["reason"].as_str().unwrap().to_owned()
}

/// The connection works.
async fn works(client: &mut Client) {
    let answer = client.request(ECHO, json!({ "x": 1 })).await;
    assert_eq!(answer["echo"]["x"], 1);
}
