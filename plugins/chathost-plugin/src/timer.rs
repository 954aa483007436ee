//! Timers: sleeping, and doing something again and again.

use crate::{app::App, task::RUN};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    future::{Future, poll_fn},
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

/// The timers of an instance, by the token that they wake it with.
#[derive(Default)]
pub(crate) struct Timers {
    last: Cell<u64>,
    set: RefCell<HashMap<u64, Rc<Set>>>,
}

struct Set {
    timer: Cell<u64>,
    fired: Box<dyn Fn()>,
    repeats: bool,
}

impl App {
    /// Waits. At least a millisecond.
    pub async fn sleep(&self, time: Duration) {
        let state = Rc::new((Cell::new(false), RefCell::new(None::<Waker>)));
        let fired = state.clone();
        let timer = self.set_timer(time, false, move || {
            fired.0.set(true);
            if let Some(waker) = fired.1.take() {
                waker.wake();
            }
        });
        poll_fn(|context| {
            if state.0.get() {
                return Poll::Ready(());
            }
            state.1.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        drop(timer);
    }

    /// Does something again and again, until it is cancelled or another generation takes over.
    pub fn every<F>(&self, time: Duration, work: impl Fn(Self) -> F + 'static) -> Timer
    where
        F: Future<Output = ()> + 'static,
    {
        let app = self.clone();
        let mut timer = self.set_timer(time, true, move || app.spawn(work(app.clone())));
        timer.kept = true;
        timer
    }

    fn set_timer(&self, time: Duration, repeats: bool, fired: impl Fn() + 'static) -> Timer {
        let timers = self.timers();
        // Never `RUN`, which is 0.
        let token = timers.last.get() + 1;
        timers.last.set(token);
        let set = Rc::new(Set {
            timer: Cell::new(0),
            fired: Box::new(fired),
            repeats,
        });
        timers.set.borrow_mut().insert(token, set.clone());
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        set.timer.set(self.host().timer(milliseconds, repeats, token));
        Timer {
            app: self.clone(),
            token,
            kept: false,
        }
    }
}

/// A timer that is set. Dropping it changes nothing.
pub struct Timer {
    app: App,
    token: u64,
    /// `sleep` ends its timer when nobody waits any more.
    kept: bool,
}

impl Timer {
    /// Ends it.
    pub fn cancel(self) {
        self.end();
    }

    fn end(&self) {
        let set = self.app.timers().set.borrow_mut().remove(&self.token);
        if let Some(set) = set {
            self.app.host().cancel(set.timer.get());
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if !self.kept {
            self.end();
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timer").field(&self.token).finish()
    }
}

impl Timers {
    /// A timer's time has come.
    pub(crate) fn fire(&self, token: u64) {
        let set = self.set.borrow().get(&token).cloned();
        let Some(set) = set else { return };
        if !set.repeats {
            let ended = self.set.borrow_mut().remove(&token);
            drop(ended);
        }
        (set.fired)();
    }

    pub(crate) fn clear(&self) {
        let all = self.set.take();
        drop(all);
    }
}

/// The instance was woken: by a timer, or because futures are to be polled.
pub(crate) fn woken(app: &App, token: u64) {
    if token != RUN {
        app.timers().fire(token);
    }
    app.tasks().run();
}
