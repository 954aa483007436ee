//! The servers of a measurement: real ones, but all on this thread, whose loops run only when a case lets them.
//!
//! What [`chathost_core::host`] does on a thread for each server is done here step by step, so that a case can stop
//! between two steps and measure one of them. Nothing is replaced but the limits, which no case may run into.

use chathost_core::{
    app::App,
    config::{self, Cluster, LoadOptions},
    connector,
    envelope::{Envelope, PushMessage},
    handler::{HandlerFactory, Prepared},
    post::Loopback,
    remote,
    route::Route,
    session::{Settings, Snapshot},
    turn,
};
use serde_json::{Value, json};
use std::{cell::RefCell, fs, future::Future, net::SocketAddr, path::PathBuf, rc::Rc, sync::Arc};
use tempfile::TempDir;
use tokio::{
    runtime::{Builder, LocalRuntime},
    sync::{mpsc, watch},
    task::yield_now,
};

/// What everybody says: a body of a hundred bytes or so, as people write.
pub const BODY: &str =
    r#"{"content":"good evening, everybody: shall we begin?","target":"*","from":"alice"}"#;

/// What becomes of it: the body of the push.
pub const PUSH: &str = r#"{"msg":"good evening, everybody: shall we begin?","from":"alice","target":"*"}"#;

/// How it is sent.
pub const ROUTE: &str = "chat.chatHandler.send";

/// The room of all measurements.
pub const ROOM: &str = "room";

/// A configuration, a runtime, and the way between the servers.
#[derive(Debug)]
pub struct Stage {
    /// Where everything runs.
    pub runtime: LocalRuntime,
    cluster: Arc<Cluster>,
    post: Arc<Loopback>,
    /// Frontends stop accepting when it goes.
    stop: watch::Sender<bool>,
    apps: RefCell<Vec<Rc<App>>>,
    _folder: TempDir,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// `connector-1` to `connector-3` and `chat-1`, none of which runs yet.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let cluster = cluster(&folder);
        Self {
            runtime: runtime(),
            cluster: Arc::new(cluster),
            post: Arc::default(),
            stop: watch::channel(false).0,
            apps: RefCell::default(),
            _folder: folder,
        }
    }

    /// A server that does nothing by itself.
    pub fn app(&self, id: &str) -> Rc<App> {
        let app = self.seat(id).app();
        self.apps.borrow_mut().push(app.clone());
        app
    }

    /// What it takes to make a server on another thread.
    pub fn seat(&self, id: &str) -> Seat {
        Seat {
            id: id.to_owned(),
            cluster: self.cluster.clone(),
            post: self.post.clone(),
        }
    }

    /// What is sent to a server that does not run.
    pub fn mailbox(&self, id: &str) -> mpsc::Receiver<Envelope> {
        self.post.open(id.into())
    }

    /// Begins to write what is queued at the end of each turn.
    pub fn turns(&self, app: &Rc<App>) {
        self.runtime.spawn_local(turn::run(app.clone()));
    }

    /// A server with handlers whose loops run, while the runtime does.
    pub fn server(&self, id: &str, handlers: &dyn HandlerFactory) -> Rc<App> {
        let app = self.app(id);
        self.runtime.block_on(async { serve(&app, handlers) });
        self.turns(&app);
        let mailbox = self.mailbox(id);
        self.runtime.spawn_local(remote::run(app.clone(), mailbox));
        app
    }

    /// Lets clients in.
    pub fn listen(&self, app: &Rc<App>) -> SocketAddr {
        self.runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port");
            let address = listener.local_addr().expect("bound");
            tokio::task::spawn_local(connector::serve(app.clone(), listener, self.stop.subscribe()));
            address
        })
    }

    /// Runs the loops until it is so.
    pub fn until(&self, done: impl FnMut() -> bool) {
        self.runtime.block_on(until(done));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Handlers hold their server; what is left of a stage would go on costing memory.
        for app in self.apps.take() {
            app.serving
                .current()
                .inspect(|generation| generation.handlers().end());
        }
    }
}

/// A server that is to be made on another thread.
#[derive(Debug, Clone)]
pub struct Seat {
    id: String,
    cluster: Arc<Cluster>,
    post: Arc<Loopback>,
}

impl Seat {
    /// Makes it.
    pub fn app(&self) -> Rc<App> {
        let info = self.cluster.server(&self.id).expect("a server of the stage");
        App::new(
            info.clone(),
            self.cluster.clone(),
            self.post.clone(),
            Arc::default(),
        )
    }

    /// Where it gets its mail.
    pub fn mailbox(&self) -> mpsc::Receiver<Envelope> {
        self.post.open(self.id.as_str().into())
    }
}

/// A runtime as each server has one.
pub fn runtime() -> LocalRuntime {
    Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .expect("a runtime")
}

/// Lets handlers serve.
pub fn serve(app: &Rc<App>, handlers: &dyn HandlerFactory) {
    Prepared::build(app, handlers, 1)
        .expect("handlers that load")
        .switch(app);
}

/// Resolves when it is so; everything else on the runtime goes on meanwhile.
async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        yield_now().await;
    }
}

/// Runs what has nothing to wait for.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("nothing to wait for")
}

/// The message of [`ROUTE`] that everybody in the room gets.
pub fn push() -> PushMessage {
    PushMessage {
        route: "onChat".into(),
        body: PUSH.into(),
    }
}

/// Alice's session as it travels.
pub fn alice() -> Snapshot {
    let mut settings = Settings::new();
    settings.insert("rid", ROOM.into());
    Snapshot {
        id: 1,
        frontend_id: "connector-1".into(),
        uid: Some("alice*room".into()),
        settings: Arc::new(settings),
    }
}

/// [`ROUTE`], parsed.
pub fn route() -> Route {
    Route::parse(ROUTE).expect("a route")
}

/// The demo's scripts.
pub fn scripts() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../handlers"))
}

fn cluster(folder: &TempDir) -> Cluster {
    let connector = |number: u16| {
        json!({
            "id": format!("connector-{number}"), "host": "127.0.0.1", "port": 4000 + number,
            "clientPort": 3000 + number, "frontend": true,
        })
    };
    let servers = json!({ "development": {
        "connector": [connector(1), connector(2), connector(3)],
        "chat": [{ "id": "chat-1", "host": "127.0.0.1", "port": 6050 }],
    } });
    // Under valgrind everything takes fifty times as long, and no client waits between its messages.
    let settings = json!({ "all": {
        "limits": {
            "handshakeSeconds": 600, "idleSeconds": 3600, "writeSeconds": 600, "outboxBytes": 16 << 20,
            "messagesPerSecond": 1_000_000, "burst": 1_000_000,
        },
        "script": { "callMs": 10_000, "loadMs": 60_000 },
    } });
    let write = |name: &str, content: Value| {
        fs::write(folder.path().join(name), content.to_string()).expect("a file");
    };
    write("servers.json", servers);
    write("chathost.json", json!({ "development": settings }));
    config::load(&LoadOptions {
        servers_file: folder.path().join("servers.json"),
        base: folder.path().into(),
        env: "development".into(),
    })
    .expect("a configuration")
}
