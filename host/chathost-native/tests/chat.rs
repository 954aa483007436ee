//! The demo's chat, in Lua and as a library, in one conversation: whoever talks to them sees no difference.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it cannot go on"
)]

mod support;

use chathost_core::{
    handler::{Groups, HandlerFactory, HandlerSource, LoadError, MixedFactory},
    host::{Host, Reload},
};
use chathost_lua::LuaHandlers;
use chathost_native::Library;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use support::{CHAT, Client, cluster, port};
use tempfile::TempDir;

/// The demo's scripts, but for what a library serves.
#[derive(Debug)]
struct Demo {
    scripts: LuaHandlers,
    chat: AtomicUsize,
}

const LUA: usize = 0;
const NATIVE: usize = 1;
const MIXED: usize = 2;

impl HandlerSource for Demo {
    fn read(&self, server_type: &str) -> Result<Arc<dyn HandlerFactory>, LoadError> {
        let scripts = self.scripts.read(server_type)?;
        match self.chat.load(Relaxed) {
            NATIVE if server_type == "chat" => Ok(Library::open(&CHAT)?),
            MIXED if server_type == "chat" => {
                let library: Arc<dyn HandlerFactory> = Library::open(&CHAT)?;
                Ok(Arc::new(MixedFactory::new(vec![
                    (scripts, Groups::Rest),
                    (library, Groups::Only(vec!["chatHandler".into()])),
                ])))
            }
            _ => Ok(scripts),
        }
    }
}

async fn start(chat: usize) -> (Host, Arc<Demo>, TempDir) {
    let demo = Arc::new(Demo {
        scripts: LuaHandlers::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../handlers")),
        chat: AtomicUsize::new(chat),
    });
    let (dir, cluster) = cluster("connector", &["chat"]);
    let host = Host::start(cluster, demo.clone() as Arc<dyn HandlerSource>)
        .await
        .unwrap();
    (host, demo, dir)
}

/// Everything that the clients of a conversation see, in order.
async fn conversation(port: u16) -> Vec<Value> {
    let mut seen = Vec::new();
    let enter = |name: &str| json!({ "username": name, "rid": "room" });
    let (mut alice, mut bob) = (Client::ready(port).await, Client::ready(port).await);
    seen.push(
        alice
            .request("chat.chatHandler.send", json!({ "content": "?", "target": "*" }))
            .await,
    );
    seen.push(
        alice
            .request("connector.entryHandler.enter", enter("alice"))
            .await,
    );
    seen.push(bob.request("connector.entryHandler.enter", enter("bob")).await);
    seen.push(bob.request("connector.entryHandler.enter", enter("alice")).await);
    seen.push(json!(alice.push().await));
    for said in [
        json!({ "content": "hi", "target": "*", "route": "r" }),
        json!({ "content": { "any": [1, null, "…"] }, "target": "bob" }),
        json!({ "content": "x", "target": "carol" }),
        json!({ "content": "x", "target": 7 }),
        json!({ "content": "x" }),
        json!({ "target": "*" }),
        json!({}),
        json!(null),
    ] {
        seen.push(alice.request("chat.chatHandler.send", said.clone()).await);
        if said["target"] == "*" || said["target"] == "bob" {
            seen.push(json!(bob.push().await));
        }
        if said["target"] == "*" {
            seen.push(json!(alice.push().await));
        }
    }
    // The two-part short form, which both have.
    seen.push(
        alice
            .request("chat.send", json!({ "content": "short", "target": "bob" }))
            .await,
    );
    seen.push(json!(bob.push().await));
    drop(alice);
    seen.push(json!(bob.pushed("onLeave").await));
    let mut carol = Client::ready(port).await;
    seen.push(
        carol
            .request("connector.entryHandler.enter", enter("carol"))
            .await,
    );
    drop(carol);
    seen.push(json!(bob.pushed("onLeave").await));
    seen
}

#[tokio::test]
async fn lua_and_native_are_alike() {
    let mut all = Vec::new();
    for chat in [LUA, NATIVE, MIXED] {
        let (host, _demo, _dir) = start(chat).await;
        all.push(conversation(port(&host, "connector")).await);
        host.stop().await;
    }
    assert!(all[0].len() > 20);
    for (lua, other) in all[0].iter().zip(&all[1]).chain(all[0].iter().zip(&all[2])) {
        assert_eq!(lua, other);
    }
}

#[tokio::test]
async fn one_takes_over_from_the_other() {
    let (mut host, demo, _dir) = start(LUA).await;
    let port = port(&host, "connector");
    let (mut alice, mut bob) = (Client::ready(port).await, Client::ready(port).await);
    for (client, name) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        let enter = json!({ "username": name, "rid": "room" });
        assert!(client.request("connector.entryHandler.enter", enter).await["users"].is_array());
    }
    for (n, chat) in [NATIVE, LUA, MIXED, NATIVE, LUA].into_iter().enumerate() {
        let said = json!({ "content": n, "target": "*" });
        assert_eq!(alice.request("chat.chatHandler.send", said).await, json!({}));
        assert_eq!(bob.pushed("onChat").await["msg"], json!(n));
        demo.chat.store(chat, Relaxed);
        host.reload("chat", Reload::default()).await.unwrap();
    }
    host.stop().await;
}
