//! What the C interface costs: the demo's `chat.send` as a library, against the same function called directly.
//!
//! `cargo bench -p chathost-native`. Both get a message's bytes and give an answer's, through the same trait, and push to
//! a room on this server. The smaller the room, the more the interface weighs; these are the smallest.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement says what it finds, and ends where it cannot"
)]

use bytes::Bytes;
use chathost_core::{
    app::App,
    config::{self, LoadOptions},
    envelope::PushMessage,
    error::Reply,
    handler::{HandlerFactory, Request},
    post::Loopback,
    route::Route,
    session::{BackendSession, Snapshot},
};
use chathost_native::Library;
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{fs, path::PathBuf, process::Command, rc::Rc, sync::Arc, time::Instant};

/// Or as many as the first argument says.
const CALLS: u32 = 200_000;

#[derive(Deserialize)]
struct Said {
    content: Option<Value>,
    target: Option<Value>,
    route: Option<Value>,
}

#[derive(Serialize)]
struct Chat<'a> {
    msg: Option<Value>,
    from: &'a str,
    target: &'a Value,
}

#[derive(Serialize)]
struct Sent {
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Value>,
}

/// `plugins/chat`'s `send`, with the engine's own functions.
fn direct(app: &Rc<App>, request: Request) -> LocalBoxFuture<'static, Reply> {
    let app = app.clone();
    Box::pin(async move {
        let said: Said = serde_json::from_slice(&request.body).unwrap();
        let uid = request.session.uid().unwrap();
        let room = request
            .session
            .with("rid", |rid| rid.and_then(Value::as_str).unwrap().to_owned());
        let target = said.target.unwrap_or_default();
        let channel = app.channels.channel(&room).unwrap();
        assert_eq!(target, "*");
        let chat = Chat {
            msg: said.content,
            from: uid.split('*').next().unwrap(),
            target: &target,
        };
        let message = PushMessage {
            route: "onChat".into(),
            body: serde_json::to_vec(&chat).unwrap().into(),
        };
        app.channels
            .push_message(&app, &channel, &message, &Default::default())
            .unwrap();
        Reply::ok(serde_json::to_vec(&Sent { route: said.route }).unwrap().into())
    })
}

fn library() -> PathBuf {
    let done = Command::new(env!("CARGO"))
        .args(["build", "--release", "-p", "chat"])
        .status()
        .unwrap();
    assert!(done.success());
    let exe = std::env::current_exe().unwrap();
    exe.parent().unwrap().parent().unwrap().join("libchat.so")
}

fn app() -> (tempfile::TempDir, Rc<App>) {
    let dir = tempfile::tempdir().unwrap();
    let servers =
        json!({ "development": { "chat": [{ "id": "chat-1", "host": "127.0.0.1", "port": 6050 }] } });
    fs::write(dir.path().join("servers.json"), servers.to_string()).unwrap();
    let cluster = config::load(&LoadOptions {
        servers_file: dir.path().join("servers.json"),
        base: dir.path().into(),
        env: "development".into(),
    });
    let cluster = Arc::new(cluster.unwrap());
    let info = cluster.servers().next().unwrap().clone();
    (
        dir,
        App::new(info, cluster, Arc::new(Loopback::default()), Arc::default()),
    )
}

fn main() {
    let calls = std::env::args()
        .nth(1)
        .and_then(|calls| calls.parse().ok())
        .unwrap_or(CALLS);
    let path = std::env::var_os("CHAT").map_or_else(library, PathBuf::from);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .unwrap();
    runtime.block_on(async {
        let (_dir, app) = app();
        let native = HandlerFactory::build(&*Library::open(&path).unwrap(), &app, 1).unwrap();
        let method = native.manifest().handler("chat.chatHandler.send").unwrap();
        let settings = json!({ "rid": "room" }).as_object().unwrap().clone();
        let snapshot = Snapshot {
            id: 1,
            frontend_id: "connector-1".into(),
            uid: Some("alice*room".into()),
            settings: Arc::new(settings.into()),
        };
        let body = Bytes::from(json!({ "content": "good evening, everybody", "target": "*" }).to_string());
        let route = Route::parse("chat.chatHandler.send").unwrap();
        let request = || Request {
            method,
            route: route.clone(),
            body: body.clone(),
            session: BackendSession::new(&snapshot),
            notify: false,
        };
        let channel = app.channels.create_channel("room").unwrap();
        for members in [0, 1, 10] {
            while channel.user_amount() < members {
                let uid = format!("user{}*room", channel.user_amount());
                app.channels.add(&channel, uid.into(), "chat-1".into()).unwrap();
            }
            let (mut best, mut best_direct) = (f64::MAX, f64::MAX);
            // In turns, and the best of each: what else runs on the machine hits both.
            for _ in 0..7 {
                let began = Instant::now();
                for _ in 0..calls {
                    assert!(!direct(&app, request()).await.failed);
                }
                best_direct = best_direct.min(began.elapsed().as_secs_f64());
                let began = Instant::now();
                for _ in 0..calls {
                    assert!(!native.handle(request()).await.failed);
                }
                best = best.min(began.elapsed().as_secs_f64());
            }
            let each = |all: f64| all / f64::from(calls) * 1e9;
            println!(
                "{members} members: directly {:.0} ns, native {:.0} ns, {:.2} times",
                each(best_direct),
                each(best),
                best / best_direct
            );
        }
    });
}
