//! How a case is measured: what counts, and what is only preparation.
//!
//! A case prepares itself once and then runs its operation as often as [`Meter`] says, between preparation and clean-up
//! that are not measured. criterion reads the time that a meter took; callgrind collects instructions while
//! [`measured_part`] is on the stack, and nothing else.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// The function that callgrind collects in; [`crate::callgrind`] names it on its command line.
pub const MEASURED: &str = "measured_part";

/// So many operations are to be run. Made anew for each run of a case.
#[derive(Debug)]
pub struct Meter {
    operations: u64,
    collect: bool,
    elapsed: Duration,
}

impl Meter {
    /// A run of so many operations.
    pub fn new(operations: u64) -> Self {
        Self {
            operations,
            collect: true,
            elapsed: Duration::ZERO,
        }
    }

    /// A run that callgrind does not see: caches fill, tables grow to their size.
    pub fn warm_up(operations: u64) -> Self {
        Self {
            collect: false,
            ..Self::new(operations)
        }
    }

    /// How many operations.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// What they took.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// All operations, one after the other.
    pub fn each<T>(&mut self, mut operation: impl FnMut() -> T) {
        let operations = self.operations;
        self.part(&mut || {
            for _ in 0..operations {
                black_box(operation());
            }
        });
    }

    /// All operations, `batch` at a time, and `after` each batch something that is not measured.
    pub fn batches<T>(&mut self, batch: u64, mut operation: impl FnMut() -> T, mut after: impl FnMut()) {
        let mut left = self.operations;
        while left > 0 {
            let now = left.min(batch);
            self.part(&mut || {
                for _ in 0..now {
                    black_box(operation());
                }
            });
            after();
            left -= now;
        }
    }

    fn part(&mut self, part: &mut dyn FnMut()) {
        let began = Instant::now();
        if self.collect {
            measured_part(part);
        } else {
            part();
        }
        self.elapsed += began.elapsed();
    }
}

/// Its name is what counts, so it must be there once, under this name. A thread that works for a case runs in it, too.
#[inline(never)]
pub fn measured_part(part: &mut dyn FnMut()) {
    part();
    // Not a tail call, or its frame would be gone while the part runs.
    black_box(());
}
