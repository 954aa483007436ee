//! The bench's clients: many connections on one thread, over one epoll.
//!
//! A connection opens, upgrades, shakes hands and answers heartbeats by itself; what a scenario wants to know comes as
//! an [`Event`]. What is sent is kept until the end of the turn, so that messages sent together travel together.
//! What is said, when and to whom is the scenarios'.

use super::wire::{self, Heard, Piece, Pieces, Transport};
use bytes::BytesMut;
use pomelo_protocol::{PackageKind, RouteRef, encode_request};
use rustix::{
    event::epoll::{self, EventData, EventFlags},
    fd::OwnedFd,
    net::{AddressFamily, SocketFlags, SocketType},
};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    rc::Rc,
    time::{Duration, Instant},
};

/// How much is read at once, by all connections into the same place.
const READ: usize = 256 * 1024;
/// Sockets read before it looks whether something is to be said. With a thousand in a turn, messages were said 5 to 20 ms
/// late, and many at once.
const READY: usize = 64;
/// Connections from one loopback address: Linux has 28,000 ports for them.
const PER_ADDRESS: usize = 20_000;

/// What happened on a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event<'a> {
    /// It has shaken hands.
    Ready,
    Response {
        /// When the request was sent.
        sent: u64,
        body: &'a [u8],
    },
    /// A message as it came, with its head: the dictionary and the schemas need not be known to look at it.
    Push {
        message: &'a [u8],
    },
    /// The server answered a heartbeat that took this long.
    Beat(u64),
    Closed(&'a str),
}

/// Who is told.
pub(crate) trait Listener {
    /// `now`: nanoseconds since the fleet began.
    fn event(&mut self, fleet: &mut Fleet, connection: usize, now: u64, event: Event<'_>);
}

/// All connections.
pub(crate) struct Fleet {
    epoll: OwnedFd,
    ready: Vec<epoll::Event>,
    buffer: Vec<u8>,
    connections: Vec<Connection>,
    dirty: Vec<usize>,
    /// When which connection owes a heartbeat; in that order, since all have the same interval.
    beats: VecDeque<(u64, usize)>,
    tables: Rc<Tables>,
    began: Instant,
    pub(crate) reads: u64,
    pub(crate) beats_sent: u64,
    pub(crate) beats_answered: u64,
}

/// What the handshake says of routes and bodies; the same for all.
#[derive(Debug, Default)]
struct Tables {
    known: bool,
    heartbeat: Option<Duration>,
    /// The dictionary.
    routes: HashMap<String, u16>,
    /// Routes whose bodies the server wants in protobuf.
    schemas: HashSet<String>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    transport: Transport,
    state: State,
    out: Vec<u8>,
    dirty: bool,
    /// What came and is no whole piece.
    partial: Vec<u8>,
    last_id: u64,
    /// Requests that wait for their response, and since when.
    waiting: VecDeque<(u64, u64)>,
    beat_sent: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Upgrading,
    Shaking,
    Working,
    /// Frames only: a connection to the limit.
    Bare,
    Closed,
}

impl Fleet {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            ready: Vec::with_capacity(READY),
            buffer: vec![0; READ],
            connections: Vec::new(),
            dirty: Vec::new(),
            beats: VecDeque::new(),
            tables: Rc::default(),
            began: Instant::now(),
            reads: 0,
            beats_sent: 0,
            beats_answered: 0,
        })
    }

    /// Nanoseconds since it began.
    pub(crate) fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Begins to connect; [`Event::Ready`] follows. The connection's number.
    pub(crate) fn connect(&mut self, address: SocketAddr, transport: Transport) -> io::Result<usize> {
        self.open(address, transport, State::Connecting)
    }

    /// Begins to connect to a limit; whatever is sent there goes as it is.
    pub(crate) fn connect_bare(&mut self, address: SocketAddr) -> io::Result<usize> {
        self.open(address, Transport::Ws, State::Bare)
    }

    fn open(&mut self, address: SocketAddr, transport: Transport, state: State) -> io::Result<usize> {
        let number = self.connections.len();
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(|error| {
            let problem = match error {
                rustix::io::Errno::MFILE | rustix::io::Errno::NFILE => {
                    "; ulimit -n is how many files are allowed"
                }
                _ => "",
            };
            io::Error::other(format!(
                "there are {number} connections, and then: {error}{problem}"
            ))
        })?;
        let from = number / PER_ADDRESS;
        if from > 0 && address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            let from = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + from as u32);
            rustix::net::bind(&socket, &SocketAddr::from((from, 0)))?;
        }
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        let wanted = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &stream, EventData::new_u64(number as u64), wanted)?;
        self.connections.push(Connection {
            stream,
            transport,
            state,
            out: Vec::new(),
            dirty: false,
            partial: Vec::new(),
            last_id: 0,
            waiting: VecDeque::new(),
            beat_sent: None,
        });
        Ok(number)
    }

    /// Asks; [`Event::Response`] follows.
    pub(crate) fn request(&mut self, number: usize, route: &str, body: &Value) {
        let now = self.now();
        self.request_at(number, now, route, body);
    }

    /// Asks, as if it had been done at this time.
    pub(crate) fn request_at(&mut self, number: usize, when: u64, route: &str, body: &Value) {
        let tables = self.tables.clone();
        let Some(connection) = self.connections.get_mut(number) else {
            return;
        };
        connection.last_id += 1;
        connection.waiting.push_back((connection.last_id, when));
        let mut package = BytesMut::new();
        let body = body.to_string();
        let code = tables.routes.get(route);
        let route = code.map_or(RouteRef::Name(route), |&code| RouteRef::Code(code));
        // A route of more than 255 bytes writes nothing, and the server's silence tells.
        drop(encode_request(
            &mut package,
            connection.last_id,
            route,
            body.as_bytes(),
        ));
        self.send_packages(number, &package);
    }

    fn send_packages(&mut self, number: usize, packages: &[u8]) {
        if let Some(connection) = self.connections.get_mut(number) {
            wire::wrap(&mut connection.out, connection.transport, packages);
            self.touch(number);
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, number: usize, bytes: &[u8]) {
        if let Some(connection) = self.connections.get_mut(number) {
            connection.out.extend_from_slice(bytes);
            self.touch(number);
        }
    }

    fn touch(&mut self, number: usize) {
        if let Some(connection) = self.connections.get_mut(number).filter(|it| !it.dirty) {
            connection.dirty = true;
            self.dirty.push(number);
        }
    }

    /// Whether the server wants protobuf for this route, which the bench does not write.
    pub(crate) fn wants_protobuf(&self, route: &str) -> bool {
        self.tables.schemas.contains(route)
    }

    /// Requests on open connections that have no answer.
    pub(crate) fn unanswered(&self) -> usize {
        let open = self.connections.iter().filter(|it| it.state != State::Closed);
        open.map(|connection| connection.waiting.len()).sum()
    }

    /// Bytes that no socket took yet.
    pub(crate) fn unsent(&self) -> usize {
        let open = self.connections.iter().filter(|it| it.state != State::Closed);
        open.map(|connection| connection.out.len()).sum()
    }

    /// Goes, without a word.
    pub(crate) fn close(&mut self, number: usize) {
        if let Some(connection) = self.connections.get_mut(number) {
            connection.state = State::Closed;
            drop(connection.stream.shutdown(std::net::Shutdown::Both));
        }
    }

    pub(crate) fn is_open(&self, number: usize) -> bool {
        self.connections
            .get(number)
            .is_some_and(|it| it.state != State::Closed)
    }

    fn is_connecting(&self, number: usize) -> bool {
        self.connections
            .get(number)
            .is_some_and(|it| it.state == State::Connecting)
    }

    /// Writes what is to be written, waits for what comes, and tells it.
    pub(crate) fn turn(&mut self, wait: Duration, listener: &mut dyn Listener) -> io::Result<()> {
        let wait = self.send_beats().map_or(wait, |due| wait.min(due));
        self.flush();
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        let timeout = rustix::event::Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: wait.subsec_nanos().into(),
        };
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut ready),
            Some(&timeout),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &ready {
            let number = event.data.u64() as usize;
            let flags = event.flags;
            if flags.contains(EventFlags::ERR) && self.is_connecting(number) {
                self.end(number, "nobody listens there", listener);
            }
            if flags.contains(EventFlags::OUT) {
                self.writable(number);
            }
            if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
                self.readable(number, listener);
            }
        }
        self.ready = ready;
        self.flush();
        Ok(())
    }

    /// Sends the heartbeats that are due; how long until the next.
    fn send_beats(&mut self) -> Option<Duration> {
        if self.beats.is_empty() {
            return None;
        }
        let now = self.now();
        while let Some(&(due, number)) = self.beats.front() {
            if due > now {
                return Some(Duration::from_nanos(due - now));
            }
            self.beats.pop_front();
            let working = self
                .connections
                .get_mut(number)
                .filter(|it| it.state == State::Working);
            if let Some(connection) = working {
                connection.beat_sent = Some(now);
                self.beats_sent += 1;
                self.send_packages(number, &wire::package_of(PackageKind::Heartbeat, b""));
            }
        }
        None
    }

    /// Sends none of the heartbeats that it owes; the server will close the connections some time.
    pub(crate) fn stop_beats(&mut self) {
        self.beats.clear();
    }

    fn flush(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            if let Some(connection) = self.connections.get_mut(number) {
                connection.dirty = false;
                connection.flush();
            }
        }
    }

    fn writable(&mut self, number: usize) {
        let Some(connection) = self.connections.get_mut(number) else {
            return;
        };
        if connection.state == State::Connecting {
            if connection.transport == Transport::Ws {
                connection.state = State::Upgrading;
                connection.out.extend_from_slice(UPGRADE);
            } else {
                connection.state = State::Shaking;
                connection.shake();
            }
        }
        connection.flush();
    }

    fn readable(&mut self, number: usize, listener: &mut dyn Listener) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while self.read_some(number, &mut buffer, listener) {}
        self.buffer = buffer;
    }

    /// Reads once, behind what was left the last time. Whether there may be more.
    fn read_some(&mut self, number: usize, buffer: &mut Vec<u8>, listener: &mut dyn Listener) -> bool {
        let open = self.connections.get_mut(number);
        let Some(connection) = open.filter(|it| it.state != State::Closed) else {
            return false;
        };
        let held = connection.partial.len();
        if buffer.len() < held + READ / 2 {
            buffer.resize(held + READ, 0);
        }
        let Some((before, room)) = buffer.split_at_mut_checked(held) else {
            return false;
        };
        before.copy_from_slice(&connection.partial);
        let space = room.len();
        let count = match connection.stream.read(room) {
            Ok(0) => {
                self.end(number, "the server closed it", listener);
                return false;
            }
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            Err(_) => {
                self.end(number, "the connection failed", listener);
                return false;
            }
        };
        self.reads += 1;
        connection.partial.clear();
        let bytes = buffer.get(..held + count).unwrap_or_default();
        let rest = self.read(number, bytes, listener);
        if let Some(connection) = self.connections.get_mut(number) {
            connection.partial.extend_from_slice(rest);
        }
        // Less than there was room for: the next arrival wakes us up.
        count == space
    }

    /// Reads what can be read; the rest.
    fn read<'a>(&mut self, number: usize, mut bytes: &'a [u8], listener: &mut dyn Listener) -> &'a [u8] {
        let Some(connection) = self.connections.get_mut(number) else {
            return &[];
        };
        if connection.state == State::Upgrading {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                return bytes;
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                self.end(number, "the server refused the upgrade", listener);
                return &[];
            }
            connection.state = State::Shaking;
            connection.shake();
            self.touch(number);
            bytes = bytes.get(end + 4..).unwrap_or_default();
        }
        let now = self.now();
        let Some(transport) = self.connections.get(number).map(|it| it.transport) else {
            return &[];
        };
        let mut pieces = Pieces::new(transport, bytes);
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Package { kind, body } => self.package(number, now, kind, body, listener),
                Piece::Ping(payload) => {
                    if let Some(connection) = self.connections.get_mut(number) {
                        wire::pong(&mut connection.out, payload);
                        self.touch(number);
                    }
                }
                Piece::Close => self.end(number, "the server closed it", listener),
                Piece::Unreadable => self.end(number, "the server sent what is no package", listener),
            }
        }
        pieces.rest
    }

    fn package(&mut self, number: usize, now: u64, kind: u8, body: &[u8], listener: &mut dyn Listener) {
        let Some(connection) = self.connections.get_mut(number) else {
            return;
        };
        match kind {
            1 => {
                if !self.tables.known {
                    self.tables = Rc::new(Tables::learn(body));
                }
                connection.state = State::Working;
                self.send_packages(number, &wire::package_of(PackageKind::HandshakeAck, b""));
                listener.event(self, number, now, Event::Ready);
            }
            3 => {
                if let Some(interval) = self.tables.heartbeat {
                    self.beats.push_back((now + interval.as_nanos() as u64, number));
                }
                if let Some(sent) = connection.beat_sent.take() {
                    self.beats_answered += 1;
                    listener.event(self, number, now, Event::Beat(now - sent));
                }
            }
            4 => match wire::message(body) {
                Some(Heard::Response { id, body }) => {
                    // Thousands may wait, and a refusal comes before the answers to what was asked earlier.
                    let at = connection
                        .waiting
                        .binary_search_by_key(&id, |&(waiting, _)| waiting);
                    if let Some((_, sent)) = at.ok().and_then(|at| connection.waiting.remove(at)) {
                        listener.event(self, number, now, Event::Response { sent, body });
                    }
                }
                Some(Heard::Push) => listener.event(self, number, now, Event::Push { message: body }),
                None => self.end(number, "the server sent what is no message", listener),
            },
            5 => self.end(number, &kicked(body), listener),
            _ => self.end(number, "the server sent what is no package", listener),
        }
    }

    fn end(&mut self, number: usize, why: &str, listener: &mut dyn Listener) {
        if self.is_open(number) {
            self.close(number);
            let now = self.now();
            listener.event(self, number, now, Event::Closed(why));
        }
    }
}

impl Connection {
    fn shake(&mut self) {
        let package = wire::package_of(
            PackageKind::Handshake,
            br#"{"sys":{"type":"chathost-bench","version":"1"},"user":{}}"#,
        );
        wire::wrap(&mut self.out, self.transport, &package);
    }

    /// Writes what the socket takes. A failure shows when it is read.
    fn flush(&mut self) {
        if self.state == State::Connecting || self.out.is_empty() {
            return;
        }
        let mut done = 0;
        while let Some(rest) = self.out.get(done..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.out.drain(..done);
    }
}

impl Tables {
    fn learn(body: &[u8]) -> Self {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let sys = answer.get("sys").unwrap_or(&Value::Null);
        let number = |value: &Value| value.as_u64();
        let mut tables = Self {
            known: true,
            heartbeat: sys
                .get("heartbeat")
                .and_then(number)
                .filter(|&seconds| seconds > 0)
                .map(Duration::from_secs),
            ..Self::default()
        };
        let codes = sys.get("routeToCode").or_else(|| sys.get("dict"));
        for (route, code) in codes.and_then(Value::as_object).into_iter().flatten() {
            if let Some(code) = number(code).and_then(|code| u16::try_from(code).ok()) {
                tables.routes.insert(route.clone(), code);
            }
        }
        let schemas = sys.pointer("/protos/client").and_then(Value::as_object);
        tables
            .schemas
            .extend(schemas.into_iter().flatten().map(|(route, _)| route.clone()));
        tables
    }
}

/// The reason in a kick package, if it has one.
fn kicked(body: &[u8]) -> String {
    let reason: Value = serde_json::from_slice(body).unwrap_or_default();
    match reason.get("reason").and_then(Value::as_str) {
        Some(reason) => format!("the server kicked it: {reason}"),
        None => "the server kicked it".to_owned(),
    }
}

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
