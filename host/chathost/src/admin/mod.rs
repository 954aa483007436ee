//! The admin address: how `chathost reload`, `rollback` and `list` speak to the host that runs.
//!
//! HTTP on the address of `master.json`, 127.0.0.1:3005 unless it says otherwise. Every request carries the token that
//! `start` writes into a file which only its user can read.

mod client;
mod server;
mod token;

pub use client::{Unreachable, ask};
pub use server::{Admin, serve};

use crate::keeper::Row;
use serde::{Deserialize, Serialize};

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "command", deny_unknown_fields)]
pub enum Request {
    /// Read handlers again and let them serve.
    #[serde(rename_all = "camelCase")]
    Reload {
        /// All types, if it names none.
        server_type: Option<String>,
        /// Only find out whether it would work.
        dry_run: bool,
        /// Routes may be gone.
        allow_removed_routes: bool,
    },
    /// Return to what served before.
    #[serde(rename_all = "camelCase")]
    Rollback {
        /// Whose handlers.
        server_type: String,
    },
    /// How every server does.
    List,
}

/// What comes back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// To `reload` and `rollback`.
    Swaps(Vec<SwapRow>),
    /// To `list`.
    Servers(Vec<Row>),
    /// It could not be done.
    Failed(String),
}

/// What a swap came to for one server type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwapRow {
    /// Whose handlers.
    pub server_type: String,
    /// What serves now, or would with `dryRun`.
    pub generation: Option<String>,
    /// The files were the same.
    pub unchanged: bool,
    /// New routes.
    pub added: Vec<String>,
    /// Routes that are gone.
    pub removed: Vec<String>,
    /// Why the old handlers keep serving; empty if they do not.
    pub problems: Vec<String>,
}
