//! The limit: what no chat server can do better. A bare epoll loop in a process of its own, which writes given bytes to
//! given sockets and knows nothing of chats: each for itself, or, if it gathers, all that wait for a socket at once.
//!
//! A client first names its room in four bytes, and gets [`WELCOME`]. Then whatever it sends is `length` in four bytes and a
//! frame, which every socket of the room gets as it is. The bench starts it as a child ([`Limit::start`]), which ends
//! when its standard input does.

use anyhow::Context;
use rustix::event::{
    Timespec,
    epoll::{self, EventData, EventFlags},
};
use std::{
    collections::{HashMap, VecDeque},
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

/// The child, which ends with this.
#[derive(Debug)]
pub(crate) struct Limit {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Limit {
    /// Starts this program again, as a limit.
    pub(crate) fn start(gathers: bool) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "limit-server"])
            .args(gathers.then_some("--gather"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the limit cannot be started")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("the limit has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line
            .trim()
            .parse()
            .context("the limit did not say where it listens")?;
        Ok(Self { child, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a client sends first.
pub(crate) fn hello(room: u32) -> [u8; 4] {
    room.to_be_bytes()
}

/// What makes the limit write a frame to everybody in the room.
pub(crate) fn trigger(frame: &[u8]) -> Vec<u8> {
    let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    bytes
}

/// A frame with a push that says nothing: who has it is in the room.
const WELCOME: &[u8] = b"\x82\x06\x04\0\0\x02\x06\0";

const LISTENER: u64 = u64::MAX;
const STDIN: u64 = u64::MAX - 1;

/// Sockets written to before it is looked whether something came: what comes meanwhile goes with the rest.
const SLICE: usize = 64;
/// What a room's log may have before it is looked who has all of it.
const LOG: usize = 1024 * 1024;

struct Socket {
    stream: TcpStream,
    room: Option<u32>,
    partial: Vec<u8>,
    /// What the socket did not take.
    rest: Vec<u8>,
    /// If it gathers: what of the room's log it got, and whether it is among those that get more.
    taken: usize,
    waits: bool,
}

#[derive(Default)]
struct Room {
    members: Vec<usize>,
    /// If it gathers: what some of the members did not get yet.
    log: Vec<u8>,
}

struct Server {
    gathers: bool,
    sockets: Vec<Socket>,
    rooms: HashMap<u32, Room>,
    /// Who gets more, in the order in which it came.
    waiting: VecDeque<usize>,
}

/// The child's life: says where it listens, and serves until its standard input ends.
pub(crate) fn serve(gathers: bool) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // The library's 128 would make a thousand clients wait.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    epoll::add(&poll, io::stdin(), EventData::new_u64(STDIN), EventFlags::IN)?;
    let mut server = Server {
        gathers,
        sockets: Vec::new(),
        rooms: HashMap::new(),
        waiting: VecDeque::new(),
    };
    let mut ready = Vec::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    let at_once = Timespec::default();
    loop {
        ready.clear();
        let patience = (!server.waiting.is_empty()).then_some(&at_once);
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut ready), patience) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &ready {
            match event.data.u64() {
                STDIN => return Ok(()),
                LISTENER => accept(&listener, &poll, &mut server.sockets)?,
                number => {
                    let number = number as usize;
                    let Some(socket) = server.sockets.get_mut(number) else {
                        continue;
                    };
                    socket.write(&[]);
                    server.read(number, &mut buffer);
                }
            }
        }
        server.write_slice();
    }
}

fn accept(listener: &TcpListener, poll: &rustix::fd::OwnedFd, sockets: &mut Vec<Socket>) -> io::Result<()> {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let wanted = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(poll, &stream, EventData::new_u64(sockets.len() as u64), wanted)?;
        sockets.push(Socket {
            stream,
            room: None,
            partial: Vec::new(),
            rest: Vec::new(),
            taken: 0,
            waits: false,
        });
    }
    Ok(())
}

impl Server {
    /// Reads what there is, and writes what it asks for, or puts it into the room's log.
    fn read(&mut self, number: usize, buffer: &mut [u8]) {
        loop {
            let Some(socket) = self.sockets.get_mut(number) else {
                return;
            };
            let count = match socket.stream.read(buffer) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            socket
                .partial
                .extend_from_slice(buffer.get(..count).unwrap_or_default());
            let mut bytes = std::mem::take(&mut socket.partial);
            let mut done = 0;
            if socket.room.is_none()
                && let Some(room) = bytes.first_chunk::<4>()
            {
                let number_of_room = u32::from_be_bytes(*room);
                let room = self.rooms.entry(number_of_room).or_default();
                socket.room = Some(number_of_room);
                socket.taken = room.log.len();
                room.members.push(number);
                socket.write(WELCOME);
                done = 4;
            }
            let mut room = socket.room.and_then(|room| self.rooms.get_mut(&room));
            while let Some((frame, all)) = frame(bytes.get(done..).unwrap_or_default()) {
                if let Some(room) = &mut room {
                    if self.gathers {
                        room.log.extend_from_slice(frame);
                    }
                    for &member in &room.members {
                        let Some(socket) = self.sockets.get_mut(member) else {
                            continue;
                        };
                        if !self.gathers {
                            socket.write(frame);
                        } else if !std::mem::replace(&mut socket.waits, true) {
                            self.waiting.push_back(member);
                        }
                    }
                }
                done += all;
            }
            bytes.drain(..done);
            if let Some(socket) = self.sockets.get_mut(number) {
                socket.partial = bytes;
            }
        }
    }

    /// Writes to some of those that wait all there is for them.
    fn write_slice(&mut self) {
        for _ in 0..SLICE {
            let Some(number) = self.waiting.pop_front() else {
                return;
            };
            let Some(socket) = self.sockets.get_mut(number) else {
                continue;
            };
            let Some(room) = socket.room.and_then(|room| self.rooms.get_mut(&room)) else {
                continue;
            };
            socket.write(room.log.get(socket.taken..).unwrap_or_default());
            socket.taken = room.log.len();
            socket.waits = false;
            if room.log.len() > LOG {
                room.forget(&mut self.sockets);
            }
        }
    }
}

impl Room {
    /// Drops of the log what everybody has.
    fn forget(&mut self, sockets: &mut [Socket]) {
        let taken = |&member: &usize| sockets.get(member).map(|socket| socket.taken);
        let least = self.members.iter().filter_map(taken).min().unwrap_or_default();
        self.log.drain(..least.min(self.log.len()));
        for &member in &self.members {
            if let Some(socket) = sockets.get_mut(member) {
                socket.taken -= least;
            }
        }
    }
}

/// The first frame of what a client sent, and its length with its head.
fn frame(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    Some((rest.get(..length)?, 4 + length))
}

impl Socket {
    fn write(&mut self, bytes: &[u8]) {
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            if let Ok(count) = self.stream.write(&self.rest) {
                self.rest.drain(..count);
            }
        } else if !bytes.is_empty() {
            let count = match self.stream.write(bytes) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                // Nobody is there any more.
                Err(_) => bytes.len(),
            };
            self.rest
                .extend_from_slice(bytes.get(count..).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two in one room: what was said twice is written once to each, and the log forgets what both have.
    #[test]
    fn gathers_what_waits() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut server = Server {
            gathers: true,
            sockets: Vec::new(),
            rooms: HashMap::new(),
            waiting: VecDeque::new(),
        };
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut clients: Vec<TcpStream> = Vec::new();
        for number in 0..2 {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.write_all(&hello(7)).unwrap();
            while server.sockets.len() == number {
                accept(&listener, &poll, &mut server.sockets).unwrap();
            }
            while server.sockets[number].room.is_none() {
                server.read(number, &mut [0; 64]);
            }
            clients.push(client);
        }
        let large = vec![b'x'; LOG];
        for (frame, all) in [(&b"abc"[..], 3), (&large, LOG + 3)] {
            clients[0].write_all(&trigger(frame)).unwrap();
            while server.rooms[&7].log.len() < all {
                server.read(0, &mut [0; 64 * 1024]);
            }
            assert_eq!(server.waiting, [0, 1], "each waits once");
        }
        server.write_slice();
        assert!(server.waiting.is_empty() && server.rooms[&7].log.is_empty());
        let readers = clients.into_iter().map(|mut client| {
            std::thread::spawn(move || {
                let mut all = vec![0; WELCOME.len() + 3 + LOG];
                client.read_exact(&mut all).unwrap();
                all
            })
        });
        let readers: Vec<_> = readers.collect();
        while server.sockets.iter().any(|socket| !socket.rest.is_empty()) {
            server.sockets.iter_mut().for_each(|socket| socket.write(&[]));
        }
        for reader in readers {
            assert_eq!(reader.join().unwrap(), [WELCOME, b"abc", &large].concat());
        }
    }

    #[test]
    fn frames() {
        let mut bytes = trigger(b"abc");
        bytes.extend(trigger(b""));
        assert_eq!(frame(&bytes), Some((&b"abc"[..], 7)));
        assert_eq!(frame(&bytes[7..]), Some((&b""[..], 4)));
        assert_eq!(frame(&bytes[..6]), None);
        assert_eq!(hello(258), [0, 0, 1, 2]);
        assert_eq!(WELCOME, super::super::wire::served(b"\x06\0"));
    }
}
