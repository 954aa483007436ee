//! The example in C, built as its first lines say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it cannot go on"
)]

mod support;

use chathost_core::{handler::HandlerSource, host::Host};
use chathost_native::Library;
use serde_json::json;
use std::{path::Path, sync::Arc};
use support::{Client, Source, cluster, compile, port};

#[tokio::test]
async fn dice() {
    let (dir, cluster) = cluster("dice", &[]);
    let library = dir.path().join("libdice.so");
    compile(
        Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../plugins/dice-c/dice.c"
        )),
        &library,
        &[],
    );
    let source = Arc::new(Source::default());
    source.set("dice", Library::open(&library).unwrap());
    let host = Host::start(cluster, source as Arc<dyn HandlerSource>)
        .await
        .unwrap();
    let mut client = Client::ready(port(&host, "dice")).await;
    // Requests of a session may pass the oracle by.
    let oracle = client.ask("dice.diceHandler.oracle", &json!({})).await;
    for _ in 0..20 {
        let thrown = client
            .request("dice.diceHandler.throw", json!({ "sides": 6 }))
            .await;
        assert!((1..=6).contains(&thrown["value"].as_u64().unwrap()), "{thrown}");
    }
    let refused = json!({ "code": 400, "message": "a die has at least two sides" });
    assert_eq!(
        client
            .request("dice.diceHandler.throw", json!({ "sides": 1 }))
            .await,
        refused
    );
    assert!(client.answer(oracle).await["answer"].is_u64());
    host.stop().await;
}
