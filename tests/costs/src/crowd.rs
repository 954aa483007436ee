//! Clients that cost the measured process nothing: one that is this thread's own, and crowds in another process.
//!
//! A [`Client`] is a socket and ready-made bytes. A [`Crowd`] is this crate's program once more (`hold ADDRESS COUNT`),
//! which connects, shakes hands and throws away what comes; valgrind does not follow it.

use crate::stage::Stage;
use bytes::BytesMut;
use chathost_core::app::App;
use pomelo_protocol::{PackageKind, RouteRef, encode_package, encode_request};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    rc::Rc,
};
use tokio::io::AsyncReadExt;

/// Connections of a crowd that are opened before the answers of all are awaited: below any listener's backlog.
const WINDOW: usize = 100;

/// What a client says first.
pub(crate) const HELLO: &[u8] = br#"{"sys":{"type":"chathost-costs","version":"1"},"user":{}}"#;

/// What a browser asks for before that.
pub(crate) const UPGRADE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// One WebSocket client that is past its handshake.
#[derive(Debug)]
pub struct Client(TcpStream);

impl Client {
    /// Connects; its session is the next one of the frontend, bound to `alice*room`.
    pub fn enter(stage: &Stage, app: &Rc<App>, address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).expect("the frontend listens");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let (known, written) = (app.sessions.count(), app.outgoing.writes());
        let hello = [
            UPGRADE,
            &frame(&package(PackageKind::Handshake, HELLO)),
            &frame(&ack()),
        ]
        .concat();
        stream.write_all(&hello).expect("sent");
        stage.until(|| app.sessions.count() > known && app.outgoing.writes() > written);
        stream.set_nonblocking(true).expect("O_NONBLOCK");
        let sid = app.sessions.all().last().expect("its session").id;
        app.sessions
            .bind(app, sid, &"alice*room".into())
            .expect("a new uid");
        app.sessions
            .import(sid, "rid", crate::stage::ROOM.into())
            .expect("its session");
        let client = Self(stream);
        client.drain();
        client
    }

    /// Sends bytes as they are.
    pub fn send(&self, bytes: &[u8]) {
        (&self.0).write_all(bytes).expect("sent");
    }

    /// Takes what has come, and says how much that was.
    pub fn drain(&self) -> usize {
        let (mut buffer, mut all) = ([0; 16 * 1024], 0);
        loop {
            match (&self.0).read(&mut buffer) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(count) => all += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return all,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Many clients of one frontend, in a process of their own. They go when this is dropped.
#[derive(Debug)]
pub struct Crowd(Child);

impl Crowd {
    /// Lets so many connect over raw TCP, and binds them to `user1*room`, `user2*room`, …
    pub fn enter(program: &Path, stage: &Stage, app: &Rc<App>, address: SocketAddr, count: usize) -> Self {
        allow_files(count);
        let known = app.sessions.count();
        let mut process = Command::new(program)
            .args(["hold", &address.to_string(), &count.to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("this program once more");
        let everybody = app.outgoing.writes() + count as u64;
        stage.until(|| {
            let ended = process.try_wait().expect("a child");
            assert!(ended.is_none(), "the crowd is gone: {ended:?}");
            app.outgoing.writes() >= everybody
        });
        for session in app.sessions.all().iter().skip(known) {
            let uid = format!("user{}*room", session.id).into();
            app.sessions.bind(app, session.id, &uid).expect("a new uid");
        }
        Self(process)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // Its input closes with it, too, if this process is ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What the other process does: `count` clients that read, until standard input ends.
///
/// # Errors
/// They cannot connect.
pub fn hold(address: SocketAddr, count: usize) -> io::Result<()> {
    allow_files(count);
    let hello = [package(PackageKind::Handshake, HELLO), ack()].concat();
    let mut streams = Vec::with_capacity(count);
    for first in (0..count).step_by(WINDOW) {
        for _ in first..count.min(first + WINDOW) {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&hello)?;
            streams.push(stream);
        }
        for stream in streams.iter_mut().skip(first) {
            let _answer = stream.read(&mut [0; 512])?;
            stream.set_nonblocking(true)?;
        }
    }
    std::thread::spawn(|| {
        drop(io::copy(&mut io::stdin(), &mut io::sink()));
        std::process::exit(0);
    });
    crate::stage::runtime().block_on(async {
        let tasks = streams.into_iter().map(|stream| async {
            let mut stream = tokio::net::TcpStream::from_std(stream)?;
            let mut buffer = [0; 512];
            while stream.read(&mut buffer).await? > 0 {}
            io::Result::Ok(())
        });
        let tasks: Vec<_> = tasks.map(tokio::task::spawn_local).collect();
        for task in tasks {
            drop(task.await);
        }
        Ok(())
    })
}

/// A request for [`crate::stage::ROUTE`], as a WebSocket client sends it.
pub fn request(id: u64) -> Vec<u8> {
    frame(&request_package(id))
}

/// The same without WebSocket.
pub fn request_package(id: u64) -> Vec<u8> {
    let mut package = BytesMut::new();
    let route = RouteRef::Name(crate::stage::ROUTE);
    encode_request(&mut package, id, route, crate::stage::BODY.as_bytes()).expect("it fits");
    package.to_vec()
}

fn ack() -> Vec<u8> {
    package(PackageKind::HandshakeAck, &[])
}

fn package(kind: PackageKind, body: &[u8]) -> Vec<u8> {
    let mut package = BytesMut::new();
    encode_package(&mut package, kind, body).expect("it fits");
    package.to_vec()
}

/// A client's WebSocket frame: final, binary, masked, of up to 64 KiB (RFC 6455, 5.2).
fn frame(payload: &[u8]) -> Vec<u8> {
    let mask = [0x3a, 0x91, 0x5c, 0xe7];
    let length = u16::try_from(payload.len()).expect("a short one");
    let mut frame = vec![0x82];
    if length < 126 {
        frame.push(0x80 | length as u8);
    } else {
        frame.push(0x80 | 126);
        frame.extend(length.to_be_bytes());
    }
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// As many open files as it takes.
fn allow_files(count: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // And a few for everything else.
    let wanted = count as u64 + 100;
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        },
    );
    assert!(raised.is_ok(), "this takes {wanted} open files: ulimit -n -H");
}
