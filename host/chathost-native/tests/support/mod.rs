//! A host in a temporary folder whose types are served by what a test says, a raw TCP client, and libraries to load.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use bytes::{Bytes, BytesMut};
use chathost_core::{
    app::App,
    config::{self, Cluster, LoadOptions},
    handler::{HandlerFactory, HandlerSource, Handlers, LoadError},
    host::Host,
};
use chathost_native::Library;
use pomelo_protocol::{Message, MessageKind, MessageRoute, Package, PackageKind, RouteRef, encode_package};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What serves each type. May be exchanged while the host runs.
#[derive(Debug, Default)]
pub struct Source(pub Mutex<BTreeMap<String, Arc<dyn HandlerFactory>>>);

impl HandlerSource for Source {
    fn read(&self, server_type: &str) -> Result<Arc<dyn HandlerFactory>, LoadError> {
        Ok(self.0.lock().unwrap()[server_type].clone())
    }
}

impl Source {
    pub fn set(&self, server_type: &str, factory: Arc<dyn HandlerFactory>) {
        self.0.lock().unwrap().insert(server_type.to_owned(), factory);
    }
}

/// A library that is told, by what the server keeps, how to behave, and counts as another one.
#[derive(Debug)]
pub struct Told(pub Arc<Library>, pub &'static str);

impl HandlerFactory for Told {
    fn hash(&self) -> String {
        self.1.to_owned()
    }

    fn build(&self, app: &Rc<App>, number: u64) -> Result<Rc<dyn Handlers>, LoadError> {
        app.set("told", self.1.into()).unwrap();
        HandlerFactory::build(&*self.0, app, number)
    }
}

/// A cluster with one frontend of this type, and one backend of each other.
pub fn cluster(frontend: &str, backends: &[&str]) -> (TempDir, Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let frontend_entry = json!([{ "id": format!("{frontend}-1"), "host": "127.0.0.1", "port": 4050, "clientPort": 0, "frontend": true }]);
    let mut servers = json!({ frontend: frontend_entry });
    for (port, backend) in (6050..).zip(backends) {
        servers[*backend] = json!([{ "id": format!("{backend}-1"), "host": "127.0.0.1", "port": port }]);
    }
    let file = dir.path().join("servers.json");
    fs::write(&file, json!({ "development": servers }).to_string()).unwrap();
    fs::write(
        dir.path().join("chathost.json"),
        r#"{"development":{"all":{"script":{"deadlineSeconds":1}},"web":{"enabled":false}}}"#,
    )
    .unwrap();
    let options = LoadOptions {
        servers_file: file,
        base: dir.path().into(),
        env: "development".into(),
    };
    let cluster = config::load(&options).unwrap();
    (dir, cluster)
}

/// The port that clients of this type connect to.
pub fn port(host: &Host, server_type: &str) -> u16 {
    host.cluster()
        .servers_of(server_type)
        .next()
        .unwrap()
        .client_port
        .unwrap()
}

/// A client over raw TCP.
pub struct Client {
    stream: TcpStream,
    buffer: BytesMut,
    pushes: VecDeque<(String, Value)>,
    /// Those that came while another was awaited.
    answers: BTreeMap<u64, Bytes>,
    last: u64,
}

impl Client {
    pub async fn ready(port: u16) -> Self {
        Self::shake(port, "test").await.0
    }

    /// Shakes hands as a client of this type; returns the response.
    pub async fn shake(port: u16, kind: &str) -> (Self, Value) {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut client = Self {
            stream,
            buffer: BytesMut::new(),
            pushes: VecDeque::new(),
            answers: BTreeMap::new(),
            last: 0,
        };
        let request = json!({ "sys": { "type": kind, "version": "1" } }).to_string();
        client.send(PackageKind::Handshake, request.as_bytes()).await;
        let response = client.package().await.unwrap();
        assert_eq!(response.kind, PackageKind::Handshake);
        client.send(PackageKind::HandshakeAck, b"").await;
        (client, serde_json::from_slice(&response.body).unwrap())
    }

    /// Waits until the server closes.
    pub async fn closed(mut self) {
        while self.package().await.is_some() {}
    }

    async fn send(&mut self, kind: PackageKind, body: &[u8]) {
        let mut bytes = BytesMut::new();
        encode_package(&mut bytes, kind, body).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn package(&mut self) -> Option<Package> {
        timeout(Duration::from_secs(20), async {
            loop {
                if let Some(package) = Package::decode(&mut self.buffer, 1 << 24).unwrap() {
                    return Some(package);
                }
                if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        })
        .await
        .expect("a package")
    }

    /// Asks and does not wait.
    pub async fn ask(&mut self, route: &str, body: &Value) -> u64 {
        self.last += 1;
        let mut bytes = BytesMut::new();
        let body = body.to_string();
        pomelo_protocol::encode_request(&mut bytes, self.last, RouteRef::Name(route), body.as_bytes())
            .unwrap();
        self.stream.write_all(&bytes).await.unwrap();
        self.last
    }

    /// Asks, and returns the answer as it came.
    pub async fn request_raw(&mut self, route: &str, body: &Value) -> Bytes {
        let id = self.ask(route, body).await;
        self.answer_raw(id).await
    }

    /// The answer to a request.
    pub async fn answer(&mut self, id: u64) -> Value {
        serde_json::from_slice(&self.answer_raw(id).await).unwrap()
    }

    async fn answer_raw(&mut self, id: u64) -> Bytes {
        if let Some(body) = self.answers.remove(&id) {
            return body;
        }
        loop {
            let message = self.message().await;
            if message.kind == MessageKind::Response && message.id == id {
                return message.body;
            }
            self.keep(&message);
        }
    }

    pub async fn request(&mut self, route: &str, body: Value) -> Value {
        serde_json::from_slice(&self.request_raw(route, &body).await).unwrap()
    }

    /// The next push of a route; others are dropped.
    pub async fn pushed(&mut self, route: &str) -> Value {
        loop {
            let (of, body) = self.push().await;
            if of == route {
                return body;
            }
        }
    }

    /// The next push.
    pub async fn push(&mut self) -> (String, Value) {
        loop {
            if let Some(push) = self.pushes.pop_front() {
                return push;
            }
            let message = self.message().await;
            self.keep(&message);
        }
    }

    fn keep(&mut self, message: &Message) {
        if message.kind == MessageKind::Response {
            self.answers.insert(message.id, message.body.clone());
        }
        if let (MessageKind::Push, MessageRoute::Name(route)) = (message.kind, &message.route) {
            let body = serde_json::from_slice(&message.body).unwrap();
            self.pushes.push_back((route.as_str().to_owned(), body));
        }
    }

    async fn message(&mut self) -> Message {
        loop {
            let package = self.package().await.expect("a message, not the end");
            if package.kind == PackageKind::Data {
                return Message::decode(package.body).unwrap();
            }
        }
    }
}

fn built() -> &'static Path {
    // `target/debug`, from `target/debug/deps/this-test`.
    static TARGET: LazyLock<PathBuf> = LazyLock::new(|| {
        let exe = std::env::current_exe().unwrap();
        exe.parent().unwrap().parent().unwrap().to_owned()
    });
    &TARGET
}

fn cargo(args: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command
        .arg("build")
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    if built().ends_with("release") {
        command.arg("--release");
    }
    assert!(command.status().unwrap().success());
}

/// `plugins/chat`. `cargo test` does not build it.
pub static CHAT: LazyLock<PathBuf> = LazyLock::new(|| {
    cargo(&["-p", "chat"]);
    built().join("libchat.so")
});

/// The plugin in Rust that does everything.
pub static LAB: LazyLock<PathBuf> = LazyLock::new(|| {
    cargo(&["-p", "chathost-plugin", "--example", "lab"]);
    built().join("examples/liblab.so")
});

/// The plugin in Rust that misbehaves.
pub static HOSTILE: LazyLock<PathBuf> = LazyLock::new(|| {
    cargo(&["-p", "chathost-plugin", "--example", "hostile"]);
    built().join("examples/libhostile.so")
});

/// A plugin in C, with these definitions.
pub fn compile(source: &Path, into: &Path, define: &[&str]) {
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]);
    command.arg("-I").arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../plugins/chathost-abi/include"
    ));
    command.args(define).arg("-o").arg(into).arg(source);
    assert!(command.status().unwrap().success());
}

/// `tests/fixtures/plugin.c`, with these definitions.
pub fn fixture(dir: &Path, name: &str, define: &[&str]) -> PathBuf {
    let into = dir.join(name);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/plugin.c");
    compile(Path::new(source), &into, define);
    into
}
