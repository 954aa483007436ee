//! How a case is measured: what counts, and what is only preparation.
//!
//! A case prepares itself once and then runs its operation as often as [`Meter`] says, between preparation and clean-up
//! that are not measured. criterion reads the time that a meter took; callgrind collects instructions while
//! the function [`MEASURED`] is on the stack, and nothing else.

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

    /// For what works for this run on another thread: whether callgrind is to see it.
    pub fn collect(&self) -> bool {
        self.collect
    }

    fn part(&mut self, run: &mut dyn FnMut()) {
        let began = Instant::now();
        part(self.collect, run);
        self.elapsed += began.elapsed();
    }
}

/// Runs a part of a case; callgrind sees it if it is to be collected.
pub fn part(collect: bool, run: &mut dyn FnMut()) {
    if collect {
        measured_part(run);
    } else {
        run();
    }
}

/// What counts is its name, so it must be there once, under this one.
#[inline(never)]
fn measured_part(run: &mut dyn FnMut()) {
    run();
    // Not a tail call, or its frame would be gone while the part runs.
    black_box(());
}
