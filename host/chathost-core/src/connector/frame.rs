//! What is sent: bytes that are encoded once and shared by all who get them.

use super::push::Run;
use bytes::BytesMut;
use std::{
    cell::{Ref, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
};

/// What a queued frame costs beside its bytes: its place in the queue, and its share of the allocation.
pub(super) const OVERHEAD: usize = 64;

/// Bytes for clients, encoded once and shared by all who get them. All on one thread, so sharing costs no lock.
#[derive(Debug, Clone)]
pub struct Frame(Rc<Content>);

/// A frame that somebody else keeps.
#[derive(Debug)]
pub(super) struct WeakFrame(Weak<Content>);

#[derive(Debug)]
struct Content {
    bytes: RefCell<BytesMut>,
    class: Class,
    /// Set if pushes may be appended for as long as this is open.
    run: Option<Rc<Run>>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Class {
    /// A push: may be dropped for a newer one, where the policy says so.
    Push,
    /// A push of a route of which only the newest counts.
    Latest(Arc<str>),
    /// A response or a control package: never dropped.
    Kept,
    /// WebSocket's own: of several in a row the newest is enough.
    Control,
}

impl Frame {
    /// A push. `latest` names its route if only the newest of that route counts.
    pub fn push(bytes: BytesMut, latest: Option<Arc<str>>) -> Self {
        Self::new(bytes, latest.map_or(Class::Push, Class::Latest), None)
    }

    /// The first push of a run.
    pub(super) fn run(bytes: BytesMut, run: &Rc<Run>) -> Self {
        Self::new(bytes, Class::Push, Some(run.clone()))
    }

    /// A response, a heartbeat, a kick.
    pub fn kept(bytes: BytesMut) -> Self {
        Self::new(bytes, Class::Kept, None)
    }

    /// A pong, or the answer to a close.
    pub fn control(bytes: BytesMut) -> Self {
        Self::new(bytes, Class::Control, None)
    }

    fn new(bytes: BytesMut, class: Class, run: Option<Rc<Run>>) -> Self {
        Self(Rc::new(Content {
            bytes: RefCell::new(bytes),
            class,
            run,
        }))
    }

    pub(super) fn downgrade(&self) -> WeakFrame {
        WeakFrame(Rc::downgrade(&self.0))
    }

    /// The next push of an open run.
    pub(super) fn append(&self, bytes: &[u8]) {
        self.0.bytes.borrow_mut().extend_from_slice(bytes);
    }

    /// A frame of its own with what this one has by now.
    pub(super) fn so_far(&self) -> Self {
        Self::push(self.bytes().clone(), None)
    }

    /// Appends nothing more.
    pub(super) fn close_run(&self) {
        if let Some(run) = &self.0.run {
            run.close();
        }
    }

    pub(super) fn bytes(&self) -> Ref<'_, BytesMut> {
        self.0.bytes.borrow()
    }

    pub(super) fn class(&self) -> &Class {
        &self.0.class
    }

    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    pub(super) fn cost(&self) -> usize {
        self.len() + OVERHEAD
    }

    /// The run that it is of, if that still grows.
    pub(super) fn open_run(&self) -> Option<&Rc<Run>> {
        self.0.run.as_ref().filter(|run| run.is_open())
    }

    pub(super) fn is_control(&self) -> bool {
        self.0.class == Class::Control
    }
}

impl WeakFrame {
    /// The frame, unless it has been written to everybody, or dropped.
    pub(super) fn upgrade(&self) -> Option<Frame> {
        self.0.upgrade().map(Frame)
    }
}
