//! Channels: named sets of users, and messages to all of them.
//!
//! A channel lives on one server and knows for each member the frontend it is connected to. A push becomes one envelope
//! per frontend, whatever the number of members there; the frontend encodes once per wire form
//! ([`deliver`]).

pub(crate) mod deliver;
mod excluded;
pub mod global;
mod members;
mod service;

pub use members::{Channel, Member};
pub use service::{ChannelService, PushOptions};
