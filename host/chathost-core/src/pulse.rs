//! Whether a server's loop moves: what it is doing, for a watchdog on another thread to see.
//!
//! A handler that does not come back stops everything on its server. The server cannot say so itself; this can.

use std::{
    env::consts::DLL_SUFFIX,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Longer than this without coming back is worth a line in the log.
pub const STALL: Duration = Duration::from_millis(200);

/// One server's. Written by its thread, read by the watchdog's.
#[derive(Debug)]
pub struct Pulse {
    epoch: Instant,
    /// Nanoseconds after `epoch` at which the handler that runs now was entered; 0 when none runs.
    since: AtomicU64,
    method: AtomicUsize,
    /// What the methods of the generation that serves are called, with their place.
    names: Mutex<Arc<[String]>>,
    stalls: Mutex<Stalls>,
}

/// How often a server stood still.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stalls {
    /// How often.
    pub count: u64,
    /// In which handler it was the last time: its route, place and generation.
    pub last: String,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            since: AtomicU64::new(0),
            method: AtomicUsize::new(0),
            names: Mutex::new(Arc::new([])),
            stalls: Mutex::default(),
        }
    }
}

impl Pulse {
    /// A handler is entered. `now`, if somebody knows it already. What it returns is for `end`: one may be entered while
    /// another one is.
    pub(crate) fn begin(&self, method: usize, now: Option<Instant>) -> (usize, u64) {
        let outer = (self.method.load(Relaxed), self.since.load(Relaxed));
        let since = now
            .unwrap_or_else(Instant::now)
            .saturating_duration_since(self.epoch)
            .as_nanos();
        self.method.store(method, Relaxed);
        self.since
            .store(u64::try_from(since).unwrap_or(u64::MAX).max(1), Relaxed);
        outer
    }

    /// It has come back.
    pub(crate) fn end(&self, (method, since): (usize, u64)) {
        self.method.store(method, Relaxed);
        self.since.store(since, Relaxed);
    }

    /// The watchdog has seen the server stand still.
    pub(crate) fn note_stall(&self, handler: &str) {
        let mut stalls = self.stalls.lock().unwrap_or_else(PoisonError::into_inner);
        stalls.count += 1;
        stalls.last = handler.to_owned();
    }

    /// How often it did.
    pub fn stalls(&self) -> Stalls {
        self.stalls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The methods of the generation that serves from now on.
    pub(crate) fn set_names(&self, names: Arc<[String]>) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// What is entered now: since when (a number that is the same as long as it is the same call), how long, and its
    /// name. Called by the watchdog.
    pub fn entered(&self) -> Option<(u64, Duration, String)> {
        let since = self.since.load(Relaxed);
        if since == 0 {
            return None;
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = names.get(self.method.load(Relaxed)).cloned();
        // Only libraries go on outside of a call of their own; which of their handlers it is, only they know.
        let library = || {
            names
                .iter()
                .find_map(|name| name.split_once(" (")?.1.contains(DLL_SUFFIX).then_some(name))
        };
        let place = || {
            library()
                .and_then(|name| name.split_once(" ("))
                .map_or(String::new(), |(_, place)| format!(" ({place}"))
        };
        let name = name.unwrap_or_else(|| format!("a handler that had waited{}", place()));
        Some((
            since,
            self.epoch.elapsed().saturating_sub(Duration::from_nanos(since)),
            name,
        ))
    }
}
