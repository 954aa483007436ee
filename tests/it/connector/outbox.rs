//! A client that does not read: what waits for it is bounded, and nobody else notices.

use super::{reason, setup, watcher, works};
use chathost_tests::{Client, Cluster, Event, Setup, Socket, Transport};
use serde_json::json;

/// More than the kernel keeps for a connection, in messages of this size.
const SIZE: u64 = 30_000;
const BATCH: u64 = 20;
const BATCHES: u64 = 30;

/// A client for whom the kernel keeps little, bound to `slow`.
async fn slow(cluster: &Cluster) -> Client {
    let address = cluster.address("connector-1");
    let socket = Socket::open_with(address, Transport::Tcp, Some(16 * 1024)).await;
    let mut client = Client::over(socket, cluster.protos().clone());
    client.log_in(&chathost_tests::Hello::default()).await;
    client
        .request("connector.labHandler.login", json!({ "uid": "slow" }))
        .await;
    client
}

/// Has a batch pushed to `slow`. Whether it is still there.
async fn flood(by: &mut Client, route: &str, batch: u64) -> bool {
    let body = json!({ "uid": "slow", "route": route, "first": batch * BATCH, "count": BATCH, "size": SIZE });
    let answer = by.request("connector.labHandler.flood", body).await;
    answer["there"].as_bool().unwrap_or_else(|| panic!("{answer}"))
}

/// The numbers of the pushes that the client gets, up to the last one.
async fn read_to_the_end(client: &mut Client, route: &str) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&(BATCHES * BATCH - 1)) {
        numbers.push(client.push(route).await["n"].as_u64().unwrap());
    }
    numbers
}

#[tokio::test]
async fn disconnect() {
    let cluster = setup(&json!({ "limits": { "outboxBytes": 100_000 } }))
        .start()
        .await;
    let mut watcher = watcher(&cluster).await;
    let mut other = cluster.client("connector-1").await;
    let mut slow = slow(&cluster).await;
    let mut batch = 0;
    while flood(&mut other, "onFlood", batch).await {
        batch += 1;
        assert!(batch < 1000, "the outbox grows without end");
    }
    assert_eq!(reason(&mut watcher).await, "outbox full");
    works(&mut other).await;
    // What the kernel had taken arrives, in order, and then the end.
    let mut expected = 0;
    loop {
        match slow.next().await {
            Event::Push(_, body) => {
                assert_eq!(body["n"], expected);
                expected += 1;
            }
            Event::Closed(_) => break,
            other => panic!("{other:?}"),
        }
    }
}

/// Messages from another server, many in a turn: what comes after the one that did not fit is not sent either.
#[tokio::test]
async fn no_hole_before_the_close() {
    let settings = json!({
        "all": { "limits": { "outboxBytes": 60_000, "messagesPerSecond": 100_000, "burst": 100_000, "requestsInFlight": 10_000 } },
    });
    let cluster = Setup::demo().settings(&settings).start().await;
    let address = cluster.address("connector-1");
    let socket = Socket::open_with(address, Transport::Tcp, Some(16 * 1024)).await;
    let mut slow = Client::over(socket, cluster.protos().clone());
    slow.log_in(&chathost_tests::Hello::default()).await;
    let enter = json!({ "username": "slow", "rid": "tea" });
    slow.request("connector.entryHandler.enter", enter).await;
    let mut talker = cluster.enter("talker", "tea").await;
    let padding = "x".repeat(2000);
    let mut last = 0;
    for n in 0..5000 {
        let body = json!({ "content": format!("{n} {padding}"), "target": "slow" });
        last = talker.ask("chat.chatHandler.send", body).await;
    }
    talker.response(last).await;
    let mut expected = 0;
    loop {
        match slow.next().await {
            Event::Push(route, body) if route == "onChat" => {
                let text = body["msg"].as_str().unwrap();
                assert_eq!(text.split(' ').next().unwrap(), expected.to_string());
                expected += 1;
            }
            Event::Push(..) => {}
            Event::Closed(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(expected < 5000, "it was not closed");
}

#[tokio::test]
async fn drop_oldest() {
    let limits = json!({ "outboxBytes": 100_000, "outboxPolicy": "drop-oldest" });
    let cluster = setup(&json!({ "limits": limits })).start().await;
    let mut other = cluster.client("connector-1").await;
    let mut slow = slow(&cluster).await;
    // Responses are not pushes: this one waits behind them, and is not dropped.
    for batch in 0..BATCHES {
        assert!(flood(&mut other, "onFlood", batch).await);
        if batch == BATCHES / 2 {
            slow.ask_as(99, super::ECHO, json!({ "x": "kept" })).await;
        }
    }
    let numbers = read_to_the_end(&mut slow, "onFlood").await;
    assert!(numbers.is_sorted(), "in order: {numbers:?}");
    assert!(numbers.len() < (BATCHES * BATCH) as usize, "some are dropped");
    assert_eq!(slow.response(99).await["echo"]["x"], "kept");
    works(&mut slow).await;
}

/// Of such a route only the newest counts for a client that is behind; it is not disconnected for it.
#[tokio::test]
async fn latest_routes() {
    let limits = json!({ "outboxBytes": 100_000, "latestRoutes": ["onMove"] });
    let cluster = setup(&json!({ "limits": limits })).start().await;
    let mut watcher = watcher(&cluster).await;
    let mut other = cluster.client("connector-1").await;
    let mut slow = slow(&cluster).await;
    for batch in 0..BATCHES {
        assert!(flood(&mut other, "onMove", batch).await);
    }
    let numbers = read_to_the_end(&mut slow, "onMove").await;
    assert!(numbers.is_sorted(), "in order: {numbers:?}");
    assert!(numbers.len() < (BATCHES * BATCH) as usize, "some are dropped");
    works(&mut slow).await;
    // Any other route fills the outbox as ever.
    let mut batch = 0;
    while flood(&mut other, "onFlood", batch).await {
        batch += 1;
        assert!(batch < 1000, "the outbox grows without end");
    }
    assert_eq!(reason(&mut watcher).await, "outbox full");
}

/// A client that takes nothing at all is gone after a while, however large its outbox is.
#[tokio::test]
async fn write_timeout() {
    // No other limit is over before.
    let limits = json!({
        "outboxBytes": 1_000_000_000, "writeSeconds": 1, "handshakeSeconds": 600, "idleSeconds": 3600,
    });
    let cluster = setup(&json!({ "limits": limits })).start().await;
    let mut watcher = watcher(&cluster).await;
    let mut other = cluster.client("connector-1").await;
    let _slow = slow(&cluster).await;
    for batch in 0..BATCHES {
        flood(&mut other, "onFlood", batch).await;
    }
    assert_eq!(reason(&mut watcher).await, "write timeout");
    works(&mut other).await;
}

/// While one does not read, another gets everything, in order.
#[tokio::test]
async fn nobody_else_notices() {
    let cluster = setup(&json!({ "limits": { "outboxBytes": 4_000_000 } }))
        .start()
        .await;
    let mut other = cluster.client("connector-1").await;
    let _slow = slow(&cluster).await;
    let mut reader = cluster.client("connector-1").await;
    // The same uid: each push goes to both sessions.
    reader
        .request("connector.labHandler.login", json!({ "uid": "slow" }))
        .await;
    for batch in 0..BATCHES {
        assert!(flood(&mut other, "onFlood", batch).await);
        for n in batch * BATCH..(batch + 1) * BATCH {
            assert_eq!(reader.push("onFlood").await["n"], n);
        }
    }
}
