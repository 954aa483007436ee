//! A generation: what serves a server from one swap to the next.
//!
//! What begins on a generation ends on it. It counts what runs on it and how its methods do; when it was replaced and
//! its time is up, what is still running is ended ([`Generation::end`]).

use super::{Handlers, MethodId, Request};
use crate::{
    error::{CallError, Reply},
    pulse::Pulse,
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// One generation of one server's handlers.
#[derive(Debug)]
pub struct Generation {
    label: Arc<str>,
    handlers: Rc<dyn Handlers>,
    pulse: Arc<Pulse>,
    running: Cell<usize>,
    stats: Box<[Stats]>,
    ended: Cell<bool>,
    changed: Notify,
}

/// How a method does, since its generation began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct MethodStats {
    /// Calls that ended.
    pub calls: u64,
    /// Calls that failed, of those.
    pub errors: u64,
    /// From their beginning to their end, waiting included, all together.
    pub time: Duration,
}

type Stats = Cell<MethodStats>;

impl Generation {
    /// Handlers that were built. `label`: the number and the hash, as in `3-79dc2d75`.
    pub(crate) fn new(label: Arc<str>, handlers: Rc<dyn Handlers>, pulse: Arc<Pulse>) -> Rc<Self> {
        let stats = handlers
            .manifest()
            .methods()
            .iter()
            .map(|_| Stats::default())
            .collect();
        Rc::new(Self {
            label,
            handlers,
            pulse,
            running: Cell::new(0),
            stats,
            ended: Cell::new(false),
            changed: Notify::new(),
        })
    }

    /// The number and the beginning of the hash of what it was made from.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// What answers.
    pub fn handlers(&self) -> &Rc<dyn Handlers> {
        &self.handlers
    }

    /// Calls that have begun and not ended.
    pub fn running(&self) -> usize {
        self.running.get()
    }

    /// How a method did so far.
    pub fn stats(&self, method: MethodId) -> MethodStats {
        self.stats.get(method).map(Cell::get).unwrap_or_default()
    }

    /// Answers a client's message.
    pub(crate) async fn handle(self: Rc<Self>, request: Request) -> Reply {
        let method = request.method;
        let call = self.handlers.handle(request);
        let reply = self.run(method, call, |reply| reply.failed).await;
        reply.unwrap_or_else(|| {
            Reply::error(503, "the handler was replaced while it ran, and its time was up")
        })
    }

    /// Answers another server.
    pub(crate) async fn invoke(self: Rc<Self>, method: MethodId, args: Bytes) -> Result<Bytes, CallError> {
        let call = self.handlers.invoke(method, args);
        let results = self.run(method, call, Result::is_err).await;
        let ended = || {
            CallError::new(
                CallError::BUSY,
                "the remote was replaced while it ran, and its time was up",
            )
        };
        results.unwrap_or_else(|| Err(ended()))
    }

    /// `None` if the generation was ended before.
    async fn run<T>(
        &self,
        method: MethodId,
        mut call: LocalBoxFuture<'static, T>,
        failed: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let began = Instant::now();
        let _running = Running::begin(self);
        let mut ended = pin!(self.changed.notified());
        let mut polled_at = Some(began);
        let outcome = poll_fn(|context| {
            let outer = self.pulse.begin(method, polled_at.take());
            let polled = call.as_mut().poll(context);
            self.pulse.end(outer);
            match polled {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending => loop {
                    if self.ended.get() {
                        return Poll::Ready(None);
                    }
                    if ended.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    ended.set(self.changed.notified());
                },
            }
        })
        .await;
        if let Some(stats) = self.stats.get(method) {
            let MethodStats { calls, errors, time } = stats.get();
            let errors = errors + u64::from(outcome.as_ref().is_none_or(failed));
            stats.set(MethodStats {
                calls: calls + 1,
                errors,
                time: time + began.elapsed(),
            });
        }
        outcome
    }

    /// Resolves when nothing runs on it.
    async fn idle(&self) {
        loop {
            let changed = self.changed.notified();
            if self.running.get() == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Resolves when nothing runs on it, and nothing of it is still to come.
    async fn over(&self) {
        loop {
            self.idle().await;
            if self.handlers.pending() == 0 {
                return;
            }
            // A timer says nothing when it fires.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends what is running: it is answered with 503.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        self.changed.notify_waiters();
        self.handlers.end();
    }
}

struct Running<'a>(&'a Generation);

impl<'a> Running<'a> {
    fn begin(generation: &'a Generation) -> Self {
        generation.running.set(generation.running.get() + 1);
        Self(generation)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let left = self.0.running.get() - 1;
        self.0.running.set(left);
        if left == 0 {
            self.0.changed.notify_waiters();
        }
    }
}

/// The generation that serves, and those that were replaced and are still there.
#[derive(Debug, Default)]
pub struct Serving {
    current: RefCell<Option<Rc<Generation>>>,
    retired: RefCell<Vec<Weak<Generation>>>,
}

impl Serving {
    /// What serves now; `None` until the server has loaded.
    pub fn current(&self) -> Option<Rc<Generation>> {
        self.current.borrow().clone()
    }

    /// Replaced generations that something still runs on, or still holds.
    pub fn retired(&self) -> usize {
        self.retired.borrow_mut().retain(|old| old.strong_count() > 0);
        self.retired.borrow().len()
    }

    /// From now on this one serves. What runs on the old one has `deadline` to end there.
    pub(crate) fn switch(&self, generation: Rc<Generation>, deadline: Duration) {
        let Some(old) = self.current.replace(Some(generation)) else {
            return;
        };
        old.handlers.retire();
        self.retired();
        self.retired.borrow_mut().push(Rc::downgrade(&old));
        tokio::task::spawn_local(async move {
            if tokio::time::timeout(deadline, old.over()).await.is_err() {
                tracing::warn!(generation = %old.label, running = old.running(), "calls of a replaced generation are cut off");
            }
            old.end();
        });
    }

    /// The server ends.
    pub(crate) fn clear(&self) {
        if let Some(last) = self.current.take() {
            last.end();
        }
    }
}
