//! Sessions: who a connection is.
//!
//! Two faces, as Pomelo has them. [`Session`] lives on the frontend and owns the way to its client.
//! [`BackendSession`] is what a handler holds, on any server: a copy of the settings as they were when the message
//! left, whose `bind` and `push` are calls home.

mod audience;
mod backend;
mod service;
mod settings;

pub use backend::BackendSession;
pub use service::{Session, SessionService};
pub use settings::Settings;

use crate::envelope::{ServerId, Uid};
use std::sync::Arc;

/// Pomelo's `backendSessionService`: sessions of any frontend, asked from any server.
pub mod backend_service {
    pub use super::backend::ask;
}

/// A session as it travels.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The session's id on its frontend.
    pub id: u64,
    /// The frontend it lives on.
    pub frontend_id: ServerId,
    /// Whom it is bound to.
    pub uid: Option<Uid>,
    /// Its settings.
    pub settings: Arc<Settings>,
}
