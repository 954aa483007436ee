//! Timers of a plugin: each wakes it with a token, on its server's thread.

use crate::instance::Instance;
use std::{rc::Rc, time::Duration};
use tokio::{task::AbortHandle, time};

/// Timers of one instance at a time.
const LIMIT: usize = 10_000;

/// A timer that is set.
#[derive(Debug)]
pub(crate) struct Timer {
    repeats: bool,
    /// `None` until it runs: it was set while the plugin was created, and begins when that one serves.
    task: Option<AbortHandle>,
}

impl Instance {
    /// Sets a timer. Returns its handle, or 0 if there are too many.
    pub(crate) fn timer(self: &Rc<Self>, milliseconds: u64, repeats: bool, token: u64) -> u64 {
        if self.timers.borrow().len() >= LIMIT || self.has_ended() {
            tracing::error!(library = self.library(), "a plugin sets more than {LIMIT} timers");
            return 0;
        }
        // As JavaScript's: at least a millisecond.
        let after = Duration::from_millis(milliseconds.clamp(1, 1 << 31));
        let timer = self.timers.borrow_mut().insert(Timer { repeats, task: None });
        let weak = Rc::downgrade(self);
        self.app.install(move |app| {
            let Some(instance) = weak.upgrade() else { return };
            let mut timers = instance.timers.borrow_mut();
            // It may have been cancelled before it began.
            let Some(place) = timers.get_mut(timer) else {
                return;
            };
            let task = app.tasks.spawn(async move {
                loop {
                    time::sleep(after).await;
                    let Some(instance) = weak.upgrade() else { return };
                    if !repeats {
                        instance.timers.borrow_mut().remove(timer);
                    }
                    instance.wake(token);
                    if !repeats {
                        return;
                    }
                }
            });
            place.task = Some(task);
        });
        timer
    }

    /// Ends a timer, if it is one.
    pub(crate) fn cancel(&self, timer: u64) {
        let ended = self.timers.borrow_mut().remove(timer);
        if let Some(task) = ended.and_then(|timer| timer.task) {
            task.abort();
        }
    }

    /// Another generation serves: what repeats itself stops.
    pub(crate) fn end_repeating(&self) {
        for timer in self.timers.borrow().iter().filter(|timer| timer.repeats) {
            if let Some(task) = &timer.task {
                task.abort();
            }
        }
    }

    /// Timers that fire once and have not.
    pub(crate) fn pending(&self) -> usize {
        self.timers.borrow().iter().filter(|timer| !timer.repeats).count()
    }

    pub(crate) fn end_timers(&self) {
        let timers = self.timers.borrow_mut().drain();
        for task in timers.into_iter().filter_map(|timer| timer.task) {
            task.abort();
        }
    }
}
