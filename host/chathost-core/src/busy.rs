//! How many of something have begun and not ended, and the moment when none is left.
//!
//! A leaf. Lanes count jobs with it and the connector counts connections, so that a server ends when the last has.

use std::cell::Cell;
use tokio::sync::Notify;

/// The count. One task may wait at a time.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    running: Cell<usize>,
    idle: Notify,
}

impl Busy {
    pub(crate) fn begin(&self) {
        self.running.set(self.running.get() + 1);
    }

    pub(crate) fn end(&self) {
        self.running.set(self.running.get().saturating_sub(1));
        if self.running.get() == 0 {
            self.idle.notify_one();
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.running.get()
    }

    /// Resolves when none is left.
    pub(crate) async fn drained(&self) {
        while self.running.get() > 0 {
            self.idle.notified().await;
        }
    }
}
