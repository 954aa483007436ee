//! A plugin that misbehaves in every way that safe Rust allows. For the host's tests.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "it is for tests, and some of it is meant to go wrong"
)]

use chathost_plugin::{App, Error, Plugin, Result, Session, export_plugin};
use serde_json::{Value, json};
use std::time::Duration;

fn plugin(plugin: &mut Plugin) -> Result<()> {
    // What a test wants of it, since it is the same library for all.
    match plugin.app().get::<String>("told").as_deref() {
        Some("panic at load") => panic!("nobody expects this"),
        Some("refuse") => return Err(Error::internal("not today")),
        Some("fail its test") => plugin.selftest(|_| Err(Error::internal("it does not work"))),
        _ => {}
    }
    plugin.handler(
        "hostileHandler.panic",
        async |_: App, msg: Value, _: Session| -> Result<()> {
            panic!("a handler panicked over {msg}");
        },
    );
    plugin.handler(
        "hostileHandler.panicLater",
        async |app: App, _: Value, _: Session| -> Result<()> {
            app.sleep(Duration::from_millis(1)).await;
            panic!("a handler panicked after a while");
        },
    );
    plugin.handler(
        "hostileHandler.never",
        async |_: App, _: Value, _: Session| -> Result<()> { std::future::pending().await },
    );
    plugin.handler("hostileHandler.block", async |_: App, _: Value, _: Session| {
        // What no handler should do: nothing else on this server runs meanwhile.
        std::thread::sleep(Duration::from_millis(800));
        Ok(())
    });
    plugin.handler(
        "hostileHandler.blockLater",
        async |app: App, _: Value, _: Session| {
            app.sleep(Duration::from_millis(1)).await;
            std::thread::sleep(Duration::from_millis(800));
            Ok(())
        },
    );
    plugin.handler("hostileHandler.ping", async |_: App, msg: Value, _: Session| {
        Ok(json!({ "pong": msg["n"] }))
    });
    plugin.handler(
        "hostileHandler.thread",
        async |app: App, msg: Value, _: Session| {
            let n = msg["n"].as_u64().unwrap_or_default();
            let doubled = app.blocking(move || n * 2).await;
            Ok(json!({ "doubled": doubled }))
        },
    );
    Ok(())
}

export_plugin!(plugin);
