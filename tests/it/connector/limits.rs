//! What a client may use, and what happens when it wants more.

use super::{ECHO, reason, setup, watcher, works};
use chathost_tests::{Hello, Setup, Transport};
use serde_json::{Value, json};

#[tokio::test]
async fn package_too_large() {
    let cluster = setup(&json!({ "limits": { "packageBytes": 1024 } }))
        .start()
        .await;
    let mut watcher = watcher(&cluster).await;
    for transport in [Transport::WebSocket, Transport::Tcp] {
        let mut client = cluster
            .client_with("connector-1", transport, &Hello::default())
            .await;
        // As large as it may be.
        let empty = client.request_package(1, ECHO, json!({ "pad": "" })).len() - 4;
        let fits = client.request_package(1, ECHO, json!({ "pad": "x".repeat(1024 - empty) }));
        client.send(&fits).await;
        client.response(1).await;
        let too_large = client.request_package(2, ECHO, json!({ "pad": "x".repeat(1025 - empty) }));
        // Over TCP the header says enough.
        let said = if transport == Transport::Tcp {
            &too_large[..4]
        } else {
            &too_large[..]
        };
        client.send(said).await;
        client.closed().await;
        assert_eq!(reason(&mut watcher).await, "package too large");
    }
    // The same before anybody has shaken hands.
    let mut client = cluster.open("connector-1", Transport::Tcp).await;
    client.send(&[1, 0xff, 0xff, 0xff]).await;
    client.closed().await;
    assert_eq!(reason(&mut watcher).await, "package too large");
}

/// First the answers say 429, then the connection is closed.
#[tokio::test]
async fn too_many_messages() {
    let cluster = setup(&json!({ "limits": { "messagesPerSecond": 1, "burst": 3 } }))
        .start()
        .await;
    let mut watcher = watcher(&cluster).await;
    let mut client = cluster.client("connector-1").await;
    let mut all = Vec::new();
    for id in 1..=7 {
        all.extend(client.request_package(id, ECHO, json!({})));
    }
    client.send(&all).await;
    for id in 1..=6 {
        let answer = client.response(id).await;
        let refused = json!({ "code": 429, "message": "too many messages per second" });
        assert_eq!(answer == refused, id > 3, "request {id}: {answer}");
    }
    assert_eq!(client.closed().await, Some(1000));
    assert_eq!(client.unasked(), [], "the seventh is not answered");
    assert_eq!(reason(&mut watcher).await, "too many messages");
}

/// Heartbeats count as well: a client cannot make the server write for ever.
#[tokio::test]
async fn too_many_heartbeats() {
    let settings = json!({ "heartbeat": 30, "limits": { "messagesPerSecond": 1, "burst": 2 } });
    let cluster = setup(&settings).start().await;
    let mut watcher = watcher(&cluster).await;
    let mut client = cluster.client("connector-1").await;
    client.send(&[3, 0, 0, 0].repeat(5)).await;
    client.closed().await;
    assert_eq!(reason(&mut watcher).await, "too many messages");
}

#[tokio::test]
async fn requests_in_flight() {
    let cluster = setup(&json!({ "limits": { "requestsInFlight": 2 } }))
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    let mut other = cluster.client("connector-1").await;
    let (first, second) = (
        client.ask("connector.labHandler.hold", json!({})).await,
        client.ask(ECHO, json!({ "x": 2 })).await,
    );
    let answer = client.request(ECHO, json!({ "x": 3 })).await;
    assert_eq!(
        answer,
        json!({ "code": 429, "message": "too many requests are in flight" })
    );
    // It is the session's limit, not the server's.
    works(&mut other).await;
    other.request("connector.labHandler.release", json!({})).await;
    assert_eq!(client.response(first).await, json!({}));
    assert_eq!(client.response(second).await["echo"]["x"], 2);
    works(&mut client).await;
}

#[tokio::test]
async fn max_connections() {
    let server = json!({
        "id": "connector-1", "host": "127.0.0.1", "port": 0, "clientPort": 0, "frontend": true, "max-connections": 2,
    });
    let mut setup = Setup::connector("").fixture("connector").servers("gate", 1);
    setup = setup.servers("connector", 0).server("connector", server);
    let cluster = setup.start().await;
    let first = cluster.client("connector-1").await;
    let mut second = cluster.client("connector-1").await;
    let mut third = cluster.open("connector-1", Transport::Tcp).await;
    third.closed().await;
    works(&mut second).await;
    let mut watcher = watcher(&cluster).await;
    first.close().await;
    reason(&mut watcher).await;
    // There is room again as soon as the connection is gone altogether.
    let mut fourth = within_limit(&cluster).await;
    works(&mut fourth).await;
}

/// Connects until it is let in.
async fn within_limit(cluster: &chathost_tests::Cluster) -> chathost_tests::Client {
    chathost_tests::within("a place", async {
        loop {
            let mut client = cluster.open("connector-1", Transport::Tcp).await;
            client
                .send_package(pomelo_protocol::PackageKind::Handshake, br#"{"sys":{}}"#)
                .await;
            if matches!(client.next().await, chathost_tests::Event::Handshake(_)) {
                client
                    .send_package(pomelo_protocol::PackageKind::HandshakeAck, b"")
                    .await;
                return client;
            }
        }
    })
    .await
}

/// A request id that hangs the original for ever is answered.
#[tokio::test]
async fn large_request_ids() {
    let cluster = setup(&json!({})).start().await;
    let mut client = cluster.client("connector-1").await;
    for id in [1 << 31, (1 << 32) - 1, 1 << 32, (1 << 53) - 1, 1 << 53] {
        client.ask_as(id, ECHO, json!({ "id": id.to_string() })).await;
        let answer: Value = client.response(id).await;
        assert_eq!(answer["echo"]["id"], id.to_string());
    }
}
