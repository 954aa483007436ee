//! A generation: what serves a server from one swap to the next.
//!
//! What begins on a generation ends on it. It counts what runs on it and how its methods do; when it was replaced and
//! its time is up, what is still running is ended ([`Generation::end`]).

use super::{Handlers, MethodId, Request};
use crate::{
    busy::Busy,
    error::{CallError, Reply},
    lane::Job,
    pulse::Pulse,
    tasks::Tasks,
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// One generation of one server's handlers.
#[derive(Debug)]
pub struct Generation {
    label: Arc<str>,
    handlers: Rc<dyn Handlers>,
    pulse: Arc<Pulse>,
    running: Busy,
    stats: Box<[Stats]>,
    ended: Cell<bool>,
    /// Tells those who wait on it that it has ended.
    end: Notify,
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
            running: Busy::default(),
            stats,
            ended: Cell::new(false),
            end: Notify::new(),
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
        self.running.count()
    }

    /// How a method did so far.
    pub fn stats(&self, method: MethodId) -> MethodStats {
        self.stats.get(method).map(Cell::get).unwrap_or_default()
    }

    /// Answers a client's message. Returns what is left to do if that has to wait.
    pub(crate) fn handle(
        self: Rc<Self>,
        request: Request,
        answer: impl FnOnce(Reply) + 'static,
    ) -> Option<Job> {
        let method = request.method;
        let call = self.handlers.handle(request);
        let ended = || Reply::error(503, "the handler was replaced while it ran, and its time was up");
        Running::begin(self, method, call).run(
            |reply| reply.failed,
            move |reply| answer(reply.unwrap_or_else(ended)),
        )
    }

    /// Answers another server. Returns what is left to do if that has to wait.
    pub(crate) fn invoke(
        self: Rc<Self>,
        method: MethodId,
        args: Bytes,
        answer: impl FnOnce(Result<Bytes, CallError>) + 'static,
    ) -> Option<Job> {
        let call = self.handlers.invoke(method, args);
        let ended = || {
            Err(CallError::new(
                CallError::BUSY,
                "the remote was replaced while it ran, and its time was up",
            ))
        };
        Running::begin(self, method, call).run(Result::is_err, move |results| {
            answer(results.unwrap_or_else(ended));
        })
    }

    /// Resolves when nothing runs on it, and nothing of it is still to come.
    async fn over(&self) {
        loop {
            self.running.drained().await;
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
        self.end.notify_waiters();
        self.handlers.end();
    }
}

/// A call that has begun and not ended.
struct Running<T> {
    generation: Rc<Generation>,
    method: MethodId,
    began: Instant,
    call: LocalBoxFuture<'static, T>,
}

impl<T: 'static> Running<T> {
    fn begin(generation: Rc<Generation>, method: MethodId, call: LocalBoxFuture<'static, T>) -> Self {
        generation.running.begin();
        Self {
            generation,
            method,
            began: Instant::now(),
            call,
        }
    }

    /// Runs it as far as it goes at once: most end there, and need no task. `done` gets `None` if the generation was ended
    /// before.
    fn run(mut self, failed: fn(&T) -> bool, done: impl FnOnce(Option<T>) + 'static) -> Option<Job> {
        // Whoever polls again, in a task, brings the waker that counts.
        match self.poll(&mut Context::from_waker(Waker::noop()), Some(self.began)) {
            Poll::Ready(outcome) => {
                self.end(failed(&outcome));
                done(Some(outcome));
                None
            }
            Poll::Pending => Some(Box::pin(async move {
                let outcome = self.outcome().await;
                self.end(outcome.as_ref().is_none_or(failed));
                done(outcome);
            })),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, now: Option<Instant>) -> Poll<T> {
        let pulse = &self.generation.pulse;
        let outer = pulse.begin(self.method, now);
        let polled = self.call.as_mut().poll(context);
        pulse.end(outer);
        polled
    }

    async fn outcome(&mut self) -> Option<T> {
        let generation = self.generation.clone();
        let mut end = pin!(generation.end.notified());
        poll_fn(|context| {
            if let Poll::Ready(outcome) = self.poll(context, None) {
                return Poll::Ready(Some(outcome));
            }
            if generation.ended.get() {
                return Poll::Ready(None);
            }
            end.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    fn end(self, failed: bool) {
        if let Some(stats) = self.generation.stats.get(self.method) {
            let MethodStats { calls, errors, time } = stats.get();
            stats.set(MethodStats {
                calls: calls + 1,
                errors: errors + u64::from(failed),
                time: time + self.began.elapsed(),
            });
        }
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.generation.running.end();
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

    /// Whether this one serves now.
    pub(crate) fn is_current(&self, generation: &Rc<Generation>) -> bool {
        let current = self.current.borrow();
        current
            .as_ref()
            .is_some_and(|current| Rc::ptr_eq(current, generation))
    }

    /// Replaced generations that something still runs on, or still holds.
    pub fn retired(&self) -> usize {
        self.retired.borrow_mut().retain(|old| old.strong_count() > 0);
        self.retired.borrow().len()
    }

    /// From now on this one serves. What runs on the old one has `deadline` to end there.
    pub(crate) fn switch(&self, tasks: &Tasks, generation: Rc<Generation>, deadline: Duration) {
        let Some(old) = self.current.replace(Some(generation)) else {
            return;
        };
        old.handlers.retire();
        self.retired();
        self.retired.borrow_mut().push(Rc::downgrade(&old));
        tasks.spawn(async move {
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
