//! Everything that a plugin can do, seen from a client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it cannot go on"
)]

mod support;

use chathost_core::{
    handler::HandlerSource,
    host::{Host, Reload},
};
use chathost_native::{Library, kept_open};
use serde_json::{Value, json};
use std::sync::Arc;
use support::{Client, LAB, Source, Told, cluster, port};
use tempfile::TempDir;

async fn start() -> (Host, Arc<Source>, TempDir) {
    let source = Arc::new(Source::default());
    let library = Library::open(&LAB).unwrap();
    source.set("connector", library.clone());
    source.set("room", library);
    let (dir, cluster) = cluster("connector", &["room"]);
    let host = Host::start(cluster, source.clone() as Arc<dyn HandlerSource>)
        .await
        .unwrap();
    (host, source, dir)
}

async fn check(client: &mut Client, method: &str, body: Value, expected: Value) {
    let answer = client
        .request(&format!("connector.labHandler.{method}"), body)
        .await;
    assert_eq!(answer, expected, "{method}");
}

#[tokio::test]
async fn sessions_and_messages() {
    let (host, _source, _dir) = start().await;
    let port = port(&host, "connector");
    let (mut alice, mut bob) = (Client::ready(port).await, Client::ready(port).await);
    check(
        &mut alice,
        "login",
        json!(["alice", "r"]),
        json!({ "uid": "alice", "rid": "r", "sid": 1 }),
    )
    .await;
    check(
        &mut bob,
        "login",
        json!(["bob", "r"]),
        json!({ "uid": "bob", "rid": "r", "sid": 2 }),
    )
    .await;
    check(&mut alice, "login", json!(["carol", "r"]), json!({ "code": 500 })).await;
    let who = json!({ "here": ["bob"], "there": ["r"], "count": 2, "address": "127.0.0.1" });
    check(&mut alice, "who", json!("bob"), who).await;
    let said = json!({
        "members": ["alice", "bob"], "amount": 2, "sid": "connector-1", "last": "hi", "unreached": ["ghost"],
    });
    check(&mut alice, "say", json!("hi"), said).await;
    assert_eq!(bob.push().await, ("onSay".to_owned(), json!("hi")));
    check(&mut alice, "kick", json!("bob"), json!({})).await;
    bob.closed().await;
    assert_eq!(
        alice.push().await,
        ("onClosed".to_owned(), json!({ "uid": "bob", "reason": "out" }))
    );
    let alone = json!({
        "members": ["alice"], "amount": 1, "sid": "connector-1", "last": "alone", "unreached": ["ghost"],
    });
    check(&mut alice, "say", json!("alone"), alone).await;
    check(
        &mut alice,
        "logout",
        json!({}),
        json!({ "uid": null, "again": 400 }),
    )
    .await;
    host.stop().await;
}

#[tokio::test]
async fn calls_timers_and_threads() {
    let (host, _source, _dir) = start().await;
    let mut client = Client::ready(port(&host, "connector")).await;
    check(
        &mut client,
        "login",
        json!(["alice", "r"]),
        json!({ "uid": "alice", "rid": "r", "sid": 1 }),
    )
    .await;
    let called = json!({ "doubled": 6, "to": 12, "remembered": 12, "error": [409, "taken"], "absent": 500 });
    check(&mut client, "call", json!(3), called).await;
    // What a remote means to tell goes through to the client that nobody else answers.
    check(
        &mut client,
        "raise",
        json!({}),
        json!({ "code": 409, "message": "taken" }),
    )
    .await;
    check(
        &mut client,
        "time",
        json!({}),
        json!({ "elsewhere": true, "panicked": true, "env": "development" }),
    )
    .await;
    assert_eq!(client.pushed("onLater").await, json!({ "uid": "alice" }));
    check(
        &mut client,
        "app",
        json!({}),
        json!({ "rooms": 1, "chosen": "room-1", "unknown": 404, "wrong": 400 }),
    )
    .await;
    host.stop().await;
}

#[tokio::test]
async fn filters_and_hooks() {
    let (host, _source, _dir) = start().await;
    let port = port(&host, "connector");
    let (mut client, shaken) = Client::shake(port, "test").await;
    assert_eq!(
        (&shaken["code"], &shaken["user"]),
        (&json!(200), &json!({ "hello": "test", "from": true }))
    );
    check(&mut client, "echo", json!("x"), json!({ "filtered": "x" })).await;
    check(&mut client, "echo", json!("loud"), json!({ "filtered": "LOUD" })).await;
    let blocked = json!({ "blocked": "connector.labHandler.echo" });
    check(
        &mut client,
        "echo",
        json!("blocked"),
        json!({ "filtered": blocked }),
    )
    .await;
    check(
        &mut client,
        "echo",
        json!("broken"),
        json!({ "filtered": { "handled": "broken" } }),
    )
    .await;
    check(&mut client, "echo", json!("global"), json!("no")).await;
    check(
        &mut client,
        "seen",
        json!({}),
        json!(["connector.labHandler.echo", "no"]),
    )
    .await;
    let wrong = client.request("connector.labHandler.call", json!("three")).await;
    assert_eq!(wrong["code"], 400);
    let (_, refused) = Client::shake(port, "forbidden").await;
    assert_eq!(refused["code"], 501);
    host.stop().await;
}

#[tokio::test]
async fn a_swap_hands_over() {
    let (mut host, source, _dir) = start().await;
    let mut client = Client::ready(port(&host, "connector")).await;
    check(
        &mut client,
        "login",
        json!(["alice", "r"]),
        json!({ "uid": "alice", "rid": "r", "sid": 1 }),
    )
    .await;
    check(&mut client, "count", json!({}), json!({ "count": 1 })).await;
    let open = kept_open();
    for n in 2..20 {
        let told = if n % 2 == 0 { "even" } else { "odd" };
        source.set("connector", Arc::new(Told(Library::open(&LAB).unwrap(), told)));
        let swapped = host.reload("connector", Reload::default()).await.unwrap();
        assert!(!swapped.unchanged);
        check(&mut client, "count", json!({}), json!({ "count": n })).await;
    }
    // The same content is not opened again.
    assert_eq!(kept_open(), open);
    // A listener by name is found in the newest generation.
    let mut watcher = Client::ready(port(&host, "connector")).await;
    check(&mut watcher, "echo", json!(1), json!({ "filtered": 1 })).await;
    drop(client);
    assert_eq!(watcher.pushed("onClosed").await["uid"], "alice");
    host.stop().await;
}
