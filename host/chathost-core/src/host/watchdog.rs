//! The watchdog: says which handler a server is stuck in, while it is.
//!
//! A script cannot be, its budget ends it; a library can, and so can a system call in one.

use crate::{
    pulse::{Pulse, STALL},
    server::Server,
};
use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(100);

/// A thread that ends with this.
#[derive(Debug)]
pub(super) struct Watchdog {
    _stop: mpsc::Sender<()>,
}

impl Watchdog {
    /// Watches over these servers.
    pub(super) fn start(servers: &[Server]) -> Self {
        let watched: Vec<_> = servers
            .iter()
            .map(|server| (server.info.id.clone(), server.pulse.clone()))
            .collect();
        let (stop, stopped) = mpsc::channel();
        let spawned = thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || watch(&watched, &stopped));
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for the watchdog");
        }
        Self { _stop: stop }
    }
}

fn watch(servers: &[(Arc<str>, Arc<Pulse>)], stopped: &mpsc::Receiver<()>) {
    // The call that was reported last, per server: one line for each, however long it takes.
    let mut reported = vec![0; servers.len()];
    while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
        for ((id, pulse), reported) in servers.iter().zip(&mut reported) {
            match pulse.entered() {
                Some((since, stall, handler)) if stall >= STALL && since != *reported => {
                    *reported = since;
                    pulse.note_stall(&handler);
                    let stall = stall.as_millis();
                    tracing::error!(%id, %handler, "the server stands still: its handler has not come back for {stall} ms");
                }
                _ => {}
            }
        }
    }
}
