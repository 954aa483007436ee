//! Libraries that must not get in, and libraries that misbehave once they are.

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
use serde_json::json;
use std::{fs, path::Path, sync::Arc};
use support::{Client, HOSTILE, Source, Told, cluster, fixture, port};
use tempfile::TempDir;

async fn start(library: &Path) -> (Host, Arc<Source>, TempDir) {
    let source = Arc::new(Source::default());
    source.set("connector", Library::open(library).unwrap());
    let (dir, cluster) = cluster("connector", &[]);
    let host = Host::start(cluster, source.clone() as Arc<dyn HandlerSource>)
        .await
        .unwrap();
    (host, source, dir)
}

fn refusal(path: &Path) -> String {
    let error = Library::open(path).map(drop).unwrap_err();
    assert_eq!(error.problems.len(), 1, "{error}");
    let line = error.problems[0].clone();
    assert!(
        line.starts_with(&*path.to_string_lossy()) && !line.contains('\n'),
        "{line}"
    );
    line
}

#[test]
fn what_is_not_a_plugin_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.so");
    fs::write(&text, "not a library").unwrap();
    let whole = fs::read(fixture(dir.path(), "whole.so", &[])).unwrap();
    let cut = dir.path().join("cut.so");
    let garbage = dir.path().join("garbage.so");
    let mut noise = whole[..64].to_vec();
    noise.extend((0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8));
    fs::write(&garbage, noise).unwrap();
    for part in [0, 3, 63, 64, 1000, whole.len() / 2, whole.len() - 1] {
        fs::write(&cut, &whole[..part]).unwrap();
        refusal(&cut);
    }
    refusal(&garbage);
    for (path, says) in [
        (dir.path().join("absent.so"), "cannot be read"),
        (text, "not a shared library"),
        (
            fixture(dir.path(), "version.so", &["-DVERSION=99"]),
            "speaks version 99",
        ),
        (fixture(dir.path(), "small.so", &["-DSMALL"]), "has 12 bytes"),
        (
            fixture(dir.path(), "symbol.so", &["-DNO_SYMBOL"]),
            "no symbol chathost_plugin_entry",
        ),
        (
            fixture(dir.path(), "create.so", &["-DNO_CREATE"]),
            "lacks the function create",
        ),
    ] {
        let line = refusal(&path);
        assert!(line.contains(says), "{line}");
        // Again, and it is not opened again.
        let open = kept_open();
        refusal(&path);
        assert_eq!(kept_open(), open);
    }
}

#[tokio::test]
async fn what_refuses_itself_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    for (define, says) in [
        ("-DREFUSE", "there is no database"),
        ("-DBAD_NAME", "is no name for a handler"),
    ] {
        let source = Arc::new(Source::default());
        source.set(
            "connector",
            Library::open(&fixture(dir.path(), "refuses.so", &[define])).unwrap(),
        );
        let (_dir, cluster) = cluster("connector", &[]);
        let error = Host::start(cluster, source).await.map(drop).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_responder_in_the_wrong_hands() {
    let dir = tempfile::tempdir().unwrap();
    let (host, _source, _dir) = start(&fixture(dir.path(), "plugin.so", &[])).await;
    let mut client = Client::ready(port(&host, "connector")).await;
    let route = |name: &str| format!("connector.hostileHandler.{name}");
    let ping = async |client: &mut Client| {
        assert_eq!(
            client.request(&route("ping"), json!({ "n": 1 })).await,
            json!({ "n": 1 })
        );
    };
    ping(&mut client).await;
    assert_eq!(
        client.request(&route("twice"), json!({})).await,
        json!({ "answer": 1 })
    );
    assert_eq!(
        client.request(&route("never"), json!({})).await,
        json!({ "code": 504, "message": "no answer within the time limit" })
    );
    let refused = client.request_raw(&route("refused"), &json!({})).await;
    assert_eq!(&*refused, br#"{"code":403,"message":"not \"you\""}"#);
    assert_eq!(
        client.request(&route("wrongThread"), json!({})).await,
        json!({ "refused": true })
    );
    assert_eq!(
        client.request(&route("handles"), json!({})).await,
        json!({ "code": 404 })
    );

    // From another thread, twice, with a number of nobody's.
    let late = client.ask(&route("late"), &json!({})).await;
    assert_eq!(client.request(&route("releaseLate"), json!({})).await, json!({}));
    assert_eq!(client.answer(late).await, json!({ "late": true }));

    // From another thread, when the session is gone.
    let mut other = Client::ready(port(&host, "connector")).await;
    other.ask(&route("late"), &json!({})).await;
    ping(&mut other).await;
    drop(other);
    client.request(&route("releaseLate"), json!({})).await;
    ping(&mut client).await;
    host.stop().await;
}

#[tokio::test]
async fn panics_stay_inside() {
    let (mut host, source, _dir) = start(&HOSTILE).await;
    let mut client = Client::ready(port(&host, "connector")).await;
    for name in ["panic", "panicLater"] {
        let answer = client
            .request_raw(&format!("connector.hostileHandler.{name}"), &json!({}))
            .await;
        assert_eq!(&*answer, br#"{"code":500}"#, "{name}");
    }
    let answer = client.request("connector.hostileHandler.never", json!({})).await;
    assert_eq!(answer["code"], 504);
    let answer = client
        .request("connector.hostileHandler.thread", json!({ "n": 21 }))
        .await;
    assert_eq!(answer, json!({ "doubled": 42 }));

    // One that panics while it loads, or says no: what ran keeps running.
    for how in ["panic at load", "refuse", "fail its test"] {
        source.set("connector", Arc::new(Told(Library::open(&HOSTILE).unwrap(), how)));
        let refusal = host.reload("connector", Reload::default()).await.unwrap_err();
        let line = refusal.to_string();
        assert!(line.contains("libhostile.so"), "{line}");
        let answer = client
            .request("connector.hostileHandler.ping", json!({ "n": 1 }))
            .await;
        assert_eq!(answer, json!({ "pong": 1 }), "{how}");
    }
    host.stop().await;
}

/// Nothing can end it; the watchdog, on another thread, says which handler of which library it is.
#[tokio::test]
async fn a_handler_that_blocks() {
    let (host, _source, _dir) = start(&HOSTILE).await;
    let mut client = Client::ready(port(&host, "connector")).await;
    client.request("connector.hostileHandler.block", json!({})).await;
    let (_, report) = host.report().await.remove(0);
    assert_eq!(
        report.stalls.count, 1,
        "one line, however long it takes: {report:?}"
    );
    for part in ["connector.hostileHandler.block", "libhostile.so", "generation 1-"] {
        assert!(report.stalls.last.contains(part), "{}", report.stalls.last);
    }
    client
        .request("connector.hostileHandler.blockLater", json!({}))
        .await;
    let (_, report) = host.report().await.remove(0);
    assert_eq!(report.stalls.count, 2, "{report:?}");
    assert!(
        report.stalls.last.contains("libhostile.so"),
        "{}",
        report.stalls.last
    );
    let answer = client
        .request("connector.hostileHandler.ping", json!({ "n": 1 }))
        .await;
    assert_eq!(answer, json!({ "pong": 1 }), "and it goes on");
    host.stop().await;
}
