//! A plugin's futures: polled on the server's thread, by whoever calls the plugin.
//!
//! They need not be `Send`. A future that is woken, on whatever thread, asks the host to wake the plugin, once for all
//! that are woken until then.

use crate::host::HostRef;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

/// What is polled. Its result is its own business.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The token of [`Tasks::run`]; timers have others.
pub(crate) const RUN: u64 = 0;

/// The futures of an instance that wait.
pub(crate) struct Tasks {
    last: Cell<u64>,
    /// `None` while it is polled.
    waiting: RefCell<HashMap<u64, Option<Task>>>,
    woken: Arc<Woken>,
}

/// Which futures are to be polled. Shared with wakers on any thread.
struct Woken {
    host: HostRef,
    ready: Mutex<Ready>,
}

#[derive(Default)]
struct Ready {
    ids: Vec<u64>,
    /// The host was asked to wake the plugin.
    asked: bool,
}

struct TaskWaker {
    id: u64,
    woken: Arc<Woken>,
}

impl Tasks {
    pub(crate) fn new(host: HostRef) -> Self {
        Self {
            last: Cell::new(0),
            waiting: RefCell::default(),
            woken: Arc::new(Woken {
                host,
                ready: Mutex::default(),
            }),
        }
    }

    /// Runs a future as far as it gets; the rest when it is woken.
    pub(crate) fn spawn(&self, mut task: Task) {
        // Many do not wait. Who does is polled again, with the waker that counts.
        if task
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
        {
            self.wait(task);
        }
    }

    /// Runs the rest of a future that was polled and is waiting.
    pub(crate) fn wait(&self, task: Task) {
        let id = self.last.get() + 1;
        self.last.set(id);
        self.waiting.borrow_mut().insert(id, Some(task));
        self.poll(id);
    }

    /// Polls what was woken.
    pub(crate) fn run(&self) {
        let woken = std::mem::take(&mut *self.woken.ready());
        for id in woken.ids {
            self.poll(id);
        }
    }

    /// Nothing is polled any more.
    pub(crate) fn clear(&self) {
        let all = self.waiting.take();
        drop(all);
    }

    fn poll(&self, id: u64) {
        let Some(mut task) = self.waiting.borrow_mut().get_mut(&id).and_then(Option::take) else {
            return;
        };
        let waker = Waker::from(Arc::new(TaskWaker {
            id,
            woken: self.woken.clone(),
        }));
        let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
        let mut waiting = self.waiting.borrow_mut();
        match (polled, waiting.get_mut(&id)) {
            (Poll::Pending, Some(place)) => *place = Some(task),
            (Poll::Ready(()), Some(_)) => drop(waiting.remove(&id)),
            (_, None) => {}
        }
    }
}

impl Woken {
    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = self.woken.ready();
        ready.ids.push(self.id);
        // Where the host has too much to do, the next one asks again.
        ready.asked = ready.asked || self.woken.host.wake(RUN);
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tasks")
            .field(&self.waiting.borrow().len())
            .finish()
    }
}
