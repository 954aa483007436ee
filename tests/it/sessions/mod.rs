//! Replays the recorded conversations with the original (`tests/vectors/session.json`) and compares what comes back.
//!
//! Each case has a cluster of its own. What the clients sent is sent again, byte for byte; what comes is compared
//! decoded: all of it, and in the recorded order among packages whose order is fixed ([`replay`]). Where ours differs
//! on purpose, [`differences`] says what ours does instead and why. No case is left out.

mod differences;
mod replay;
mod script;

use chathost_tests::{Cluster, Setup, root, within};
use differences::{Change, DIFFERENCES};
use futures_util::future::join_all;
use replay::replay;
use script::{Script, changes};
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn recorded_conversations() {
    let path = root().join("tests/vectors/session.json");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 51);
    for difference in DIFFERENCES {
        let known = cases.iter().any(|case| case["name"] == difference.case);
        assert!(
            known,
            "a difference of no case: {} ({})",
            difference.case, difference.why
        );
    }
    let checks = cases.iter().map(|case| async move {
        let failed = futures_util::FutureExt::catch_unwind(AssertUnwindSafe(check(case))).await;
        failed.err().map(|_| case["name"].as_str().unwrap())
    });
    let failed: Vec<_> = join_all(checks).await.into_iter().flatten().collect();
    assert!(
        failed.is_empty(),
        "these conversations went otherwise: {failed:#?}"
    );
}

async fn check(case: &Value) {
    let name = case["name"].as_str().unwrap();
    let cluster = cluster(name, case["configuration"].as_str().unwrap()).await;
    if let Some(text) = case["log"][0]["text"].as_str() {
        plain_http(&cluster, name, text).await;
    } else {
        let port = cluster.address("connector-1").port();
        replay(&cluster, name, Script::read(case, cluster.protos(), port)).await;
    }
    cluster.stop().await;
}

/// The one conversation that is not about packages.
async fn plain_http(cluster: &Cluster, case: &str, request: &str) {
    let mut stream = TcpStream::connect(cluster.address("connector-1")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer and the end", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    let expected = changes(case);
    let [Change::AnswersText(begin)] = expected[..] else {
        panic!("the original answers nothing, ours something")
    };
    assert!(answer.starts_with(begin), "{answer}");
}

/// The demo and the extra handlers, configured as the original was.
async fn cluster(name: &str, configuration: &str) -> Cluster {
    let setup = Setup::demo().fixture("lab");
    let connector = match configuration {
        "base: JSON, no dictionary, heartbeat 30 s" | "base, with LAB_TCP=1" => json!({ "heartbeat": 30 }),
        "useDict and useProtobuf, heartbeat 30 s" => {
            json!({ "heartbeat": 30, "useDict": true, "useProtobuf": true })
        }
        "heartbeat 2 s" => json!({ "heartbeat": 2 }),
        other => panic!("{name}: an unknown configuration, {other}"),
    };
    // Its version is made of the text, in which the order counts.
    let protos =
        r#"{"onChat":{"required string msg":1,"required string from":2,"required string target":3}}"#;
    setup
        .config("dictionary.json", &json!(["onChat", "onAdd", "onLeave"]))
        .file("config/serverProtos.json", protos)
        .settings(&json!({ "connector": connector }))
        // Who never answers is not waited for long.
        .settings(&json!({ "connector": { "script": { "deadlineSeconds": 1 } } }))
        .start()
        .await
}
