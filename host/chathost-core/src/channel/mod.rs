//! Channels: named sets of users, and messages to all of them.
//!
//! A channel lives on one server and knows for each member the frontend it is connected to. A push becomes one envelope
//! per frontend, whatever the number of members there; the frontend encodes once per wire form
//! ([`deliver`]).

mod channel;
pub(crate) mod deliver;
mod service;

pub use channel::{Channel, Member};
pub use service::{ChannelService, PushOptions};
