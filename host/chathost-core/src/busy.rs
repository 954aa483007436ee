//! How many of something have begun and not ended, and the moment when none is left.
//!
//! Lanes count jobs with it, generations and callers their calls, the connector its connections: a server ends when the
//! last of them has.

use crate::wake::Wake;
use std::cell::Cell;

/// The count. One task may wait at a time.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    running: Cell<usize>,
    idle: Wake,
}

impl Busy {
    pub(crate) fn begin(&self) {
        self.running.set(self.running.get() + 1);
    }

    pub(crate) fn end(&self) {
        self.running.set(self.running.get().saturating_sub(1));
        if self.running.get() == 0 {
            self.idle.wake();
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.running.get()
    }

    /// Resolves when none is left.
    pub(crate) async fn drained(&self) {
        while self.running.get() > 0 {
            self.idle.called().await;
        }
    }
}
