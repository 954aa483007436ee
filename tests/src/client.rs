//! A Pomelo client for tests: everything that clients do, and everything that they should not.
//!
//! What comes is kept until somebody asks for it, so a test may wait for a response and look at the pushes later;
//! [`Client::next`] has everything in the order of arrival.

use crate::{
    event::{Decoder, Event},
    socket::{Incoming, Socket, Transport},
    within,
};
use bytes::BytesMut;
use pomelo_protocol::{MessageKind, Package, PackageKind, Protos, RouteRef, encode_package};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

/// No package is larger.
const LARGEST: usize = 0xff_ffff;

/// What a client says of itself in the handshake.
#[derive(Debug, Clone)]
pub struct Hello {
    /// `type`, `version`, `dictVersion`, `protoVersion`, …
    pub sys: Value,
    /// The application's own.
    pub user: Value,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            sys: json!({ "type": "chathost-tests", "version": "0.0.1" }),
            user: json!({}),
        }
    }
}

impl Hello {
    /// A client of this type: `js-websocket` reads and writes surrogates.
    pub fn of_type(name: &str) -> Self {
        Self {
            sys: json!({ "type": name, "version": "0.0.1" }),
            ..Self::default()
        }
    }
}

/// A connection as a client sees it.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    /// TCP: what is no whole package yet.
    partial: BytesMut,
    /// Came, and was not asked for yet.
    inbox: VecDeque<Event>,
    last_id: u64,
    protos: Arc<Protos>,
    decoder: Decoder,
}

impl Client {
    /// Connects, and says nothing yet. `protos`: those of the cluster, which count once a handshake says so.
    pub async fn open(address: SocketAddr, transport: Transport, protos: Arc<Protos>) -> Self {
        Self::over(
            within("a connection", Socket::open(address, transport)).await,
            protos,
        )
    }

    /// A client over a connection that exists.
    pub fn over(socket: Socket, protos: Arc<Protos>) -> Self {
        Self {
            socket,
            partial: BytesMut::new(),
            inbox: VecDeque::new(),
            last_id: 0,
            protos,
            decoder: Decoder::default(),
        }
    }

    /// Shakes hands and acknowledges. Returns what the server said.
    pub async fn log_in(&mut self, hello: &Hello) -> Value {
        let answer = self.shake(hello).await;
        self.send_package(PackageKind::HandshakeAck, b"").await;
        answer
    }

    /// Shakes hands, without the ack. Returns what the server said.
    pub async fn shake(&mut self, hello: &Hello) -> Value {
        let body = json!({ "sys": hello.sys, "user": hello.user }).to_string();
        self.send_package(PackageKind::Handshake, body.as_bytes()).await;
        self.find("the handshake's answer", |event| match event {
            Event::Handshake(answer) => Some(answer.clone()),
            _ => None,
        })
        .await
    }

    /// The dictionary that counts for this connection.
    pub fn dictionary(&mut self) -> &mut HashMap<String, u16> {
        &mut self.decoder.dictionary
    }

    /// Asks and waits for the answer.
    pub async fn request(&mut self, route: &str, body: impl Into<Value>) -> Value {
        let id = self.ask(route, body).await;
        self.response(id).await
    }

    /// Asks. The answer comes with this id.
    pub async fn ask(&mut self, route: &str, body: impl Into<Value>) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.ask_as(id, route, body).await;
        id
    }

    /// Asks with an id of the test's choice.
    pub async fn ask_as(&mut self, id: u64, route: &str, body: impl Into<Value>) {
        let package = self.request_package(id, route, body);
        self.send(&package).await;
    }

    /// The package that asks: for tests that send it in their own way.
    pub fn request_package(&mut self, id: u64, route: &str, body: impl Into<Value>) -> Vec<u8> {
        self.decoder.asked.insert(id, route.to_owned());
        self.message(MessageKind::Request, id, route, &body.into())
    }

    /// Tells, and wants no answer.
    pub async fn notify(&mut self, route: &str, body: impl Into<Value>) {
        let package = self.message(MessageKind::Notify, 0, route, &body.into());
        self.send(&package).await;
    }

    /// The answer to a request.
    pub async fn response(&mut self, id: u64) -> Value {
        let what = format!("the response to request {id}");
        self.find(&what, |event| match event {
            Event::Response(of, body) if *of == id => Some(body.clone()),
            _ => None,
        })
        .await
    }

    /// The next push of this route.
    pub async fn push(&mut self, route: &str) -> Value {
        let what = format!("a push of {route}");
        self.find(&what, |event| match event {
            Event::Push(of, body) if of == route => Some(body.clone()),
            _ => None,
        })
        .await
    }

    /// The kick package's body.
    pub async fn kicked(&mut self) -> Value {
        self.find("a kick", |event| match event {
            Event::Kick(body) => Some(body.clone()),
            _ => None,
        })
        .await
    }

    /// Waits for the end; the close code. What came before stays to be asked for.
    pub async fn closed(&mut self) -> Option<u16> {
        self.find("the end of the connection", |event| match event {
            Event::Closed(code) => Some(*code),
            _ => None,
        })
        .await
    }

    /// Waits for a heartbeat.
    pub async fn heartbeat(&mut self) {
        let beat = |event: &Event| (*event == Event::Heartbeat).then_some(());
        self.find("a heartbeat", beat).await;
    }

    /// What comes next, in the order of arrival.
    pub async fn next(&mut self) -> Event {
        while self.inbox.is_empty() {
            within("anything from the server", self.receive()).await;
        }
        self.inbox.pop_front().expect("not empty")
    }

    /// What came and nobody asked for.
    pub fn unasked(&mut self) -> Vec<Event> {
        self.inbox.drain(..).collect()
    }

    /// Sends a package.
    pub async fn send_package(&mut self, kind: PackageKind, body: &[u8]) {
        let mut package = BytesMut::new();
        encode_package(&mut package, kind, body).expect("it fits");
        self.send(&package).await;
    }

    /// Sends bytes as they are: one WebSocket message, or a piece of the TCP stream.
    pub async fn send(&mut self, bytes: &[u8]) {
        within("the server to take bytes", self.socket.send(bytes)).await;
    }

    /// The connection, for what clients do not do.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Says good-bye and waits until the server has, too. What came before and nobody asked for.
    pub async fn close(mut self) -> Vec<Event> {
        within("the server's good-bye", async {
            self.socket.say_goodbye().await;
            while !matches!(self.inbox.back(), Some(Event::Closed(_))) {
                self.receive().await;
            }
        })
        .await;
        self.inbox.pop_back();
        self.inbox.into()
    }

    /// Is gone, without a word.
    pub fn abort(self) {
        self.socket.abort();
    }

    /// Takes over the tables that a handshake's answer names.
    fn learn(&mut self, answer: &Value) {
        self.decoder.learn(&answer["sys"]);
        if answer["sys"]["useProto"] == true {
            self.decoder.protos = Some(self.protos.clone());
        }
    }

    fn message(&self, kind: MessageKind, id: u64, route: &str, body: &Value) -> Vec<u8> {
        let code = self.decoder.dictionary.get(route).copied();
        let text = body.to_string();
        let body = match &self.decoder.protos {
            Some(protos) if protos.client.has(route) => protos
                .client
                .encode(route, text.as_bytes(), pomelo_protocol::Astral::Utf8)
                .expect("it fits the schema"),
            _ => text.into_bytes(),
        };
        message_package(
            kind,
            id,
            code.map_or(RouteRef::Name(route), RouteRef::Code),
            &body,
        )
    }

    /// The first event, of those that came or come, of which `pick` makes something.
    async fn find<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        let mut seen = 0;
        let search = async {
            loop {
                while let Some(event) = self.inbox.get(seen) {
                    if let Some(found) = pick(event) {
                        self.inbox.remove(seen);
                        return Ok(found);
                    }
                    seen += 1;
                }
                if let Some(Event::Closed(code)) = self.inbox.back() {
                    return Err(*code);
                }
                self.receive().await;
            }
        };
        match tokio::time::timeout(crate::PATIENCE, search).await {
            Ok(Ok(found)) => found,
            Ok(Err(code)) => panic!(
                "the connection ended ({code:?}) before {what}; there was {:?}",
                self.inbox
            ),
            Err(_) => panic!("waited in vain for {what}; there was {:?}", self.inbox),
        }
    }

    async fn receive(&mut self) {
        match self.socket.receive().await {
            Incoming::Closed(code) => self.inbox.push_back(Event::Closed(code)),
            Incoming::Bytes(bytes) => self.take(&bytes),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        while let Some(package) = Package::decode(&mut self.partial, LARGEST).expect("packages") {
            let event = self.decoder.decode(package);
            if let Event::Handshake(answer) = &event {
                self.learn(answer);
            }
            self.inbox.push_back(event);
        }
    }
}

/// A data package with a message.
pub(crate) fn message_package(kind: MessageKind, id: u64, route: RouteRef<'_>, body: &[u8]) -> Vec<u8> {
    let mut message = vec![(kind as u8) << 1 | u8::from(matches!(route, RouteRef::Code(_)))];
    if kind == MessageKind::Request {
        let mut rest = id;
        while rest >= 0x80 {
            message.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        message.push(rest as u8);
    }
    match route {
        RouteRef::Name(name) => {
            message.push(u8::try_from(name.len()).expect("a route that fits"));
            message.extend_from_slice(name.as_bytes());
        }
        RouteRef::Code(code) => message.extend_from_slice(&code.to_be_bytes()),
    }
    message.extend_from_slice(body);
    let mut package = BytesMut::new();
    encode_package(&mut package, PackageKind::Data, &message).expect("it fits");
    package.to_vec()
}
