//! Pushes on their way into outboxes: encoded once per form of the wire ([`PushEncoder`]), and those that follow each other
//! to the same group made one frame ([`Run`]), as long as none of the group was written to.
//!
//! In a busy room a dozen pushes wait for each member when its turn to be written comes. Put into every outbox each for
//! itself they cost a third of a delivery; as a run only the first one is put there, and the next are bytes appended to what
//! all have queued already. (A room of 1,000, 16 messages at a time: see BENCHMARKS.md.)
//!
//! The order of what a client gets stays what it was: whoever gets something else in between has left the run, and gets its
//! later pushes one by one.

use super::{Connection, Frame, Wire};
use crate::{app::App, envelope::PushMessage};
use bytes::BytesMut;
use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

/// Bytes of a run: more would be written in parts.
const MOST_BYTES: usize = 16 * 1024;

/// One in so many may have left before the run ends.
const LEAVERS: usize = 8;

/// What the outboxes of a group know of a run.
#[derive(Debug)]
pub(crate) struct Run {
    open: Cell<bool>,
    /// Who of the group does not have it, or has left it.
    apart: RefCell<Vec<Weak<Connection>>>,
    most_apart: usize,
}

impl Run {
    /// Of a group of so many.
    pub(super) fn of(members: usize) -> Rc<Self> {
        Rc::new(Self {
            open: Cell::new(true),
            apart: RefCell::default(),
            most_apart: members / LEAVERS,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.get()
    }

    /// Nothing more is appended.
    pub(super) fn close(&self) {
        self.open.set(false);
    }

    /// Something else is about to be queued for a member. False if the run ended by that, because too many have left.
    pub(super) fn lets_go(&self, member: &Rc<Connection>) -> bool {
        let mut apart = self.apart.borrow_mut();
        if apart.len() == self.most_apart {
            self.close();
            return false;
        }
        apart.push(Rc::downgrade(member));
        true
    }
}

/// Connections that get the same pushes, again and again. Not their sessions: each would be one more cache line of a
/// delivery.
#[derive(Debug)]
pub(crate) struct Group {
    connections: Box<[Rc<Connection>]>,
    /// The run, and its frame for each form of the wire.
    last: RefCell<Option<(Rc<Run>, Frames)>>,
}

type Frames = Vec<(Rc<Wire>, Option<Frame>)>;

impl Group {
    /// These connections, in this order.
    pub(crate) fn new(connections: Vec<Rc<Connection>>) -> Self {
        Self {
            connections: connections.into(),
            last: RefCell::default(),
        }
    }

    /// Delivers to all of them. `latest`: only the newest push of this route counts for a client that is behind.
    pub(crate) fn push(&self, app: &App, message: &PushMessage, latest: bool) {
        let last = self.last.take();
        if let Some((run, frames)) = last.filter(|(run, _)| run.is_open()) {
            if !latest && append(&frames, message) {
                return self.push_to_others(app, message, run, frames);
            }
            run.close();
        }
        self.push_to_all(app, message, latest);
    }

    fn push_to_others(&self, app: &App, message: &PushMessage, run: Rc<Run>, frames: Frames) {
        let mut encoder = PushEncoder::new(message, false);
        let apart = run.apart.take();
        for member in apart.iter().filter_map(Weak::upgrade) {
            member.enqueue_push(app, &mut encoder);
        }
        run.apart.replace(apart);
        self.last.replace(Some((run, frames)));
    }

    fn push_to_all(&self, app: &App, message: &PushMessage, latest: bool) {
        /// Fetched from memory at the same time: about as many as a core has such requests under way.
        const FETCHED: usize = 16;
        let mut encoder = PushEncoder::new(message, latest);
        let run = (!latest).then(|| encoder.begin_run(self.connections.len()));
        for some in self.connections.chunks(FETCHED) {
            Connection::fetch(some);
            for connection in some {
                let taken = connection.enqueue_push(app, &mut encoder);
                if let Some(run) = run.as_ref().filter(|_| !taken) {
                    run.lets_go(connection);
                }
            }
        }
        if let Some(run) = run {
            self.last.replace(Some((run, encoder.done)));
        }
    }
}

/// Appends a push to the frames of a run; false if it does not fit.
fn append(frames: &Frames, message: &PushMessage) -> bool {
    let of = |(wire, frame): &(Rc<Wire>, Option<Frame>)| Some((frame.clone()?, encode(wire, message)?));
    let encoded: Vec<_> = frames.iter().filter_map(of).collect();
    let fits = |(frame, bytes): &(Frame, BytesMut)| frame.len() + bytes.len() <= MOST_BYTES;
    if !encoded.iter().all(fits) {
        return false;
    }
    for (frame, bytes) in &encoded {
        frame.append(bytes);
    }
    true
}

/// Encodes one push for many connections: once per form of the wire.
#[derive(Debug)]
pub(crate) struct PushEncoder<'a> {
    message: &'a PushMessage,
    latest: bool,
    run: Option<Rc<Run>>,
    done: Frames,
}

impl<'a> PushEncoder<'a> {
    /// `latest`: only the newest push of this route counts for a client that is behind.
    pub(crate) fn new(message: &'a PushMessage, latest: bool) -> Self {
        Self {
            message,
            latest,
            run: None,
            done: Vec::new(),
        }
    }

    /// Its frames are the beginning of a run.
    fn begin_run(&mut self, members: usize) -> Rc<Run> {
        let run = Run::of(members);
        self.run = Some(run.clone());
        run
    }

    /// The frame for connections of this form; `None` if it cannot be encoded.
    pub(crate) fn encode(&mut self, wire: &Rc<Wire>) -> Option<Frame> {
        if let Some((_, frame)) = self.done.iter().find(|(known, _)| Rc::ptr_eq(known, wire)) {
            return frame.clone();
        }
        let frame = encode(wire, self.message).map(|bytes| match &self.run {
            Some(run) => Frame::run(bytes, run),
            None => Frame::push(bytes, self.latest.then(|| self.message.route.clone())),
        });
        self.done.push((wire.clone(), frame.clone()));
        frame
    }
}

fn encode(wire: &Wire, PushMessage { route, body }: &PushMessage) -> Option<BytesMut> {
    wire.encode_push(route, body)
        .inspect_err(|error| tracing::warn!(%route, %error, "a push could not be encoded"))
        .ok()
}
