//! Support library of the integration tests: a cluster in a temporary folder and a client that speaks Pomelo's wire.
//!
//! It is not a second implementation of anything: the cluster is the program's own ([`chathost::Instance`]), the wire is
//! `pomelo-protocol`. Called by `tests/it`. Whatever a test waits for, it waits [`PATIENCE`] at most and then fails;
//! nothing here sleeps.
//!
//! ```no_run
//! # async fn example() {
//! use chathost_tests::Setup;
//! use serde_json::json;
//!
//! let cluster = Setup::demo().start().await;
//! let mut alice = cluster.client("connector-1").await;
//! let answer = alice.request("connector.entryHandler.enter", json!({ "username": "alice", "rid": "tea" })).await;
//! assert_eq!(answer, json!({ "users": ["alice"] }));
//! # }
//! ```
// This is test code that lives in a library: whatever goes wrong ends the test that called.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod client;
mod cluster;
mod event;
mod setup;
mod socket;

pub use client::{Client, Hello};
pub use cluster::Cluster;
pub use event::{Decoder, Event};
pub use setup::Setup;
pub use socket::{Incoming, Socket, Transport};

use std::{path::PathBuf, time::Duration};

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What comes of `future`, which must not take longer than [`PATIENCE`].
///
/// # Panics
/// It took longer; `what` says what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
