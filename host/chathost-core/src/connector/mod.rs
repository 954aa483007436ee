//! The frontend's edge: sockets, connections, and the wire.
//!
//! One port takes WebSocket and raw TCP, told apart by the first bytes. A connection is one task ([`task`]) that reads,
//! one [`Connection`] that everybody else holds, an outbox that is flushed at the end of the turn ([`Outgoing`]), and
//! one [`Connection::close`]. The connector knows packages and routes; what a message means is [`crate::dispatch`]'s.

mod bucket;
mod close;
mod connection;
mod frame;
mod handshake;
mod inbound;
mod listen;
mod outbox;
mod outgoing;
mod push;
mod stream;
mod task;
mod wire;

pub use close::CloseReason;
pub use connection::{Connection, State};
pub use frame::Frame;
#[doc(hidden)]
pub use listen::serve;
pub use outgoing::Outgoing;
pub(crate) use push::{Group, PushEncoder};
#[doc(hidden)]
pub use stream::{Broken, Event, Inflow};
pub(crate) use task::FAREWELL;
pub use wire::{Tables, Wire};
