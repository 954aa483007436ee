//! Pushes on their way into outboxes: encoded once per form of the wire ([`PushEncoder`]), and those that follow each other
//! to the same group made one frame ([`Run`]), as long as none of the group was written to.
//!
//! In a busy room a dozen pushes wait for each member when its turn to be written comes. Put into every outbox each for
//! itself they cost a quarter of a delivery in backlog, and a third at saturation; as a run only the first one is put there,
//! and the next are bytes appended to what all have queued already. (A room of 1,000, in turns: 0.34 µs instead of 0.45, and
//! 11,000 messages a second instead of 6,000.)
//!
//! The order of what a client gets stays what it was: whoever gets something else in between has left the run, and gets its
//! later pushes one by one.

use super::{Connection, Frame, Wire, frame::WeakFrame, outgoing::GATHER};
use crate::{app::App, envelope::PushMessage};
use bytes::BytesMut;
use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

/// A run is no longer than this part of an outbox: it is dropped as a whole, and grows past the limit of who is behind.
const SHARE: usize = 8;

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

/// Connections that get the same pushes, again and again, each of them once. Not their sessions: each would be one more cache
/// line of a delivery.
#[derive(Debug)]
pub(crate) struct Group {
    connections: Box<[Rc<Connection>]>,
    /// The last push's frame for each form of the wire, for as long as somebody has it to be written.
    last: RefCell<Vec<(Rc<Wire>, WeakFrame)>>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(run) = self.open_run() {
            run.close();
        }
    }
}

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
        let mut encoder = PushEncoder::new(message, latest);
        if let Some(run) = self.open_run() {
            let most = GATHER.min(app.settings.limits.outbox_bytes / SHARE);
            if !latest && encoder.append_to(&self.last.borrow(), most) {
                let apart = run.apart.take();
                for member in apart.iter().filter_map(Weak::upgrade) {
                    member.enqueue_push(app, &mut encoder);
                }
                run.apart.replace(apart);
                return;
            }
            run.close();
        }
        self.push_to_all(app, encoder);
    }

    fn open_run(&self) -> Option<Rc<Run>> {
        let open = |(_, frame): &(_, WeakFrame)| frame.upgrade()?.open_run().cloned();
        self.last.borrow().iter().find_map(open)
    }

    fn push_to_all(&self, app: &App, mut encoder: PushEncoder<'_>) {
        /// Fetched from memory at the same time: about as many as a core has such requests under way.
        const FETCHED: usize = 16;
        let run = (!encoder.latest).then(|| Run::of(self.connections.len()));
        encoder.run.clone_from(&run);
        for some in self.connections.chunks(FETCHED) {
            Connection::fetch(some);
            for connection in some {
                let has_it = connection.enqueue_push(app, &mut encoder);
                if let Some(run) = run.as_ref().filter(|_| !has_it) {
                    run.lets_go(connection);
                }
            }
        }
        let mut last = self.last.borrow_mut();
        last.clear();
        last.extend(encoder.weak_frames());
    }
}

/// Encodes one push for many connections: once per form of the wire.
#[derive(Debug)]
pub(crate) struct PushEncoder<'a> {
    message: &'a PushMessage,
    latest: bool,
    /// What its frames are the beginning of.
    run: Option<Rc<Run>>,
    /// Its bytes, where they are no frame yet.
    encoded: Vec<(Rc<Wire>, Option<BytesMut>)>,
    frames: Vec<(Rc<Wire>, Option<Frame>)>,
}

impl<'a> PushEncoder<'a> {
    /// `latest`: only the newest push of this route counts for a client that is behind.
    pub(crate) fn new(message: &'a PushMessage, latest: bool) -> Self {
        Self {
            message,
            latest,
            run: None,
            encoded: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// The frame for connections of this form; `None` if it cannot be encoded.
    pub(crate) fn frame(&mut self, wire: &Rc<Wire>) -> Option<Frame> {
        if let Some((_, frame)) = self.frames.iter().find(|(known, _)| Rc::ptr_eq(known, wire)) {
            return frame.clone();
        }
        let known = self.encoded.iter().position(|(known, _)| Rc::ptr_eq(known, wire));
        let bytes = match known {
            Some(place) => self.encoded.swap_remove(place).1,
            None => encode(wire, self.message),
        };
        let frame = bytes.map(|bytes| match &self.run {
            Some(run) => Frame::run(bytes, run),
            None => Frame::push(bytes, self.latest.then(|| self.message.route.clone())),
        });
        self.frames.push((wire.clone(), frame.clone()));
        frame
    }

    /// Appends the push to the frames of a run, of `most` bytes each; false if it does not fit.
    fn append_to(&mut self, frames: &[(Rc<Wire>, WeakFrame)], most: usize) -> bool {
        let encoded = frames
            .iter()
            .map(|(wire, _)| (wire.clone(), encode(wire, self.message)));
        self.encoded = encoded.collect();
        let both = || {
            let all = frames.iter().zip(&self.encoded);
            all.filter_map(|((_, frame), (_, bytes))| Some((frame.upgrade()?, bytes.as_ref()?)))
        };
        let fits = both().all(|(frame, bytes)| frame.len() + bytes.len() <= most);
        if fits {
            both().for_each(|(frame, bytes)| frame.append(bytes));
        }
        fits
    }

    /// What it made, without keeping it.
    fn weak_frames(&self) -> impl Iterator<Item = (Rc<Wire>, WeakFrame)> {
        let weak =
            |(wire, frame): &(Rc<Wire>, Option<Frame>)| Some((wire.clone(), frame.as_ref()?.downgrade()));
        self.frames.iter().filter_map(weak)
    }
}

fn encode(wire: &Wire, PushMessage { route, body }: &PushMessage) -> Option<BytesMut> {
    wire.encode_push(route, body)
        .inspect_err(|error| tracing::warn!(%route, %error, "a push could not be encoded"))
        .ok()
}
