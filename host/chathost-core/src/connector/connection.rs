//! One client's connection, as everybody but its own task sees it: a way to send, and one way to end.

use super::{
    CloseReason, Frame, PushEncoder, Wire,
    bucket::{Bucket, Rate},
    outbox::Outbox,
    wire::Framing,
};
use crate::{app::App, config::OutboxPolicy, error::Reply, wake::Wake};
use pomelo_protocol::{PackageKind, text};
use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    os::fd::AsRawFd,
    rc::Rc,
};
use tokio::{net::TcpStream, time::Instant};

/// How far a connection is (POMELO.md: INITED, WAIT_ACK, WORKING, CLOSED). Packages out of state are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The first bytes have not said yet whether it is WebSocket or TCP.
    Opening,
    /// Waits for the handshake.
    Inited,
    /// The handshake is being answered by the user's callback.
    Shaking,
    /// Waits for the ack.
    WaitAck,
    /// Takes and gives data.
    Working,
}

/// A client's connection. Shared by its task, its session and the dirty list, all on one thread.
///
/// Laid out in the order of its fields, because a delivery to a room of thousands waits for memory more than for anything else
/// that is not the kernel: what it needs comes first, and lies together.
#[derive(Debug)]
#[repr(C)]
pub struct Connection {
    pub(super) state: Cell<State>,
    /// Why it is closing. Set once.
    pub(super) closing: Cell<Option<CloseReason>>,
    /// On the dirty list.
    pub(super) dirty: Cell<bool>,
    /// How bytes look on this connection, pinned by the handshake.
    pub(super) wire: RefCell<Rc<Wire>>,
    /// Since when the kernel takes nothing.
    pub(super) blocked: Cell<Option<Instant>>,
    pub(super) outbox: RefCell<Outbox>,
    pub(super) stream: TcpStream,
    pub(super) sid: Cell<u64>,
    peer: SocketAddr,
    /// The socket failed, or its outbox is full; the task is to close it. Messages that come after are dropped, or the
    /// client would see a hole in what it gets.
    pub(super) failed: Cell<Option<CloseReason>>,
    /// When it is closed unless something happens before.
    pub(super) deadline: Cell<Instant>,
    /// Tells the task that one of the above changed.
    pub(super) wake: Wake,
    /// The client is a page in a browser.
    pub(super) browser: Cell<bool>,
    bucket: RefCell<Bucket>,
    /// Requests of the client that are not answered yet.
    pub(crate) in_flight: Cell<usize>,
}

impl Connection {
    pub(super) fn new(app: &App, stream: TcpStream, peer: SocketAddr) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            stream,
            peer,
            sid: Cell::new(0),
            state: Cell::new(State::Opening),
            wire: RefCell::new(app.outgoing.wires.plain(Framing::Tcp)),
            outbox: RefCell::default(),
            dirty: Cell::new(false),
            blocked: Cell::new(None),
            closing: Cell::new(None),
            failed: Cell::new(None),
            deadline: Cell::new(now + app.settings.limits.handshake_timeout()),
            wake: Wake::default(),
            browser: Cell::new(false),
            bucket: RefCell::new(Bucket::new(&app.settings.limits, now)),
            in_flight: Cell::new(0),
        })
    }

    /// Fetches what a delivery needs of these connections. Looked at without doing anything in between they come from
    /// memory side by side; otherwise each delivery would wait for its own. (A room of 1,000, one message at a time: 1.18 ×
    /// the bare loop with it, 1.23 × without, medians of five runs in turns.)
    pub(crate) fn fetch<'a>(connections: impl IntoIterator<Item = &'a Rc<Self>>) {
        let look = |connection: &Rc<Self>| {
            usize::from(connection.dirty.get())
                + usize::from(connection.outbox.borrow().is_empty())
                + usize::from(connection.stream.as_raw_fd() == 0)
        };
        // So that the compiler does not find out that nobody wants to know.
        std::hint::black_box(connections.into_iter().map(look).sum::<usize>());
    }

    /// Where the client connects from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Puts a push into the outbox, once the client takes data. False if it has to get the next of a run by itself.
    pub(crate) fn enqueue_push(self: &Rc<Self>, app: &App, encoder: &mut PushEncoder<'_>) -> bool {
        if self.state.get() != State::Working || self.failed.get().is_some() {
            return false;
        }
        let frame = encoder.frame(&self.wire.borrow());
        let encoded = frame.is_some();
        if let Some(frame) = frame {
            self.enqueue(app, frame);
        }
        encoded
    }

    /// Puts a frame into the outbox. When that is full the connection's policy decides.
    pub fn enqueue(self: &Rc<Self>, app: &App, frame: Frame) {
        if self.closing.get().is_some() {
            return;
        }
        let limits = &app.settings.limits;
        let mut outbox = self.outbox.borrow_mut();
        if outbox.open_run().is_some_and(|run| run.lets_go(self)) {
            outbox.leave_run();
        }
        let fits = outbox.push(frame, limits.outbox_bytes).or_else(|frame| {
            outbox.make_room(
                &frame,
                limits.outbox_bytes,
                limits.outbox_policy == OutboxPolicy::DropOldest,
            );
            outbox.push(frame, limits.outbox_bytes)
        });
        if fits.is_err() {
            outbox.cut();
            return self.fail(CloseReason::OutboxFull);
        }
        drop(outbox);
        self.mark_dirty(app);
    }

    /// Answers a request of the client; a notify gets nothing. The route, empty where none could be read, decides how
    /// the answer is encoded.
    pub(crate) fn respond(self: &Rc<Self>, app: &App, request: Option<u64>, route: &str, reply: &Reply) {
        let takes = self.state.get() == State::Working && self.failed.get().is_none();
        let Some(id) = request.filter(|_| takes) else {
            return;
        };
        let response = self.wire.borrow().encode_response(id, route, &reply.body);
        match response {
            Ok(bytes) => self.enqueue(app, Frame::kept(bytes)),
            Err(error) => {
                tracing::warn!(%route, sid = self.sid.get(), %error, "a response could not be encoded");
                if let Ok(bytes) = self
                    .wire
                    .borrow()
                    .encode_response(id, route, &Reply::unhandled().body)
                {
                    self.enqueue(app, Frame::kept(bytes));
                }
            }
        }
    }

    /// Sends a package other than data.
    pub(super) fn send_package(self: &Rc<Self>, app: &App, kind: PackageKind, body: &[u8]) {
        let package = self.wire.borrow().encode_package(kind, body);
        match package {
            Ok(bytes) => self.enqueue(app, Frame::kept(bytes)),
            Err(error) => {
                tracing::warn!(sid = self.sid.get(), ?kind, %error, "a package could not be encoded");
            }
        }
    }

    /// Ends the connection; the only way there is. The session is gone at once and its listeners run; what is in the
    /// outbox is written, within a time limit, by the connection's task. `kick`: the reason for the kick package.
    pub fn close(self: &Rc<Self>, app: &Rc<App>, reason: CloseReason, kick: Option<&str>) {
        if self.closing.get().is_some() {
            return;
        }
        let sid = self.sid.get();
        tracing::debug!(sid, peer = %self.peer, code = reason.code(), %reason, "connection closed");
        app.sessions.remove(app, sid, kick.unwrap_or(reason.as_str()));
        if let (Some(kick), State::Working | State::WaitAck) = (kick, self.state.get()) {
            let body = serde_json::json!({ "reason": kick }).to_string();
            self.send_package(app, PackageKind::Kick, &text::escape_astral(body.as_bytes()));
        }
        // A client that said good-bye has been answered by tungstenite.
        let silent = self.state.get() == State::Opening || reason == CloseReason::ClientClosed;
        if let Some(farewell) = self.wire.borrow().farewell().filter(|_| !silent) {
            self.enqueue(app, Frame::kept(farewell.into()));
        }
        self.closing.set(Some(reason));
        self.wake.wake();
    }

    /// Counts a package of the client against the rate limit.
    pub(super) fn rate(&self, app: &App) -> Rate {
        self.bucket
            .borrow_mut()
            .take(&app.settings.limits, Instant::now())
    }

    /// The kernel takes no more for now: the task waits for it, but not for ever.
    pub(super) fn block(&self) {
        if self.blocked.get().is_none() {
            self.blocked.set(Some(Instant::now()));
            self.wake.wake();
        }
    }

    /// The connection is of no use any more. Called where no `Rc<App>` is at hand; the task closes.
    pub(super) fn fail(&self, reason: CloseReason) {
        if self.failed.get().is_none() {
            self.failed.set(Some(reason));
            self.wake.wake();
        }
    }

    pub(super) fn mark_dirty(self: &Rc<Self>, app: &App) {
        if self.blocked.get().is_none() && !self.dirty.replace(true) {
            app.outgoing.mark(self.clone());
            app.turn.mark();
        }
    }

    /// WebSocket's own answers. A client that pings and does not read gets the newest pong, not all of them.
    pub(super) fn write_control(self: &Rc<Self>, app: &App, bytes: &[u8]) {
        self.enqueue(app, Frame::control(bytes.into()));
    }

    pub(super) fn write_bytes(self: &Rc<Self>, app: &App, bytes: &[u8]) {
        self.enqueue(app, Frame::kept(bytes.into()));
    }
}
