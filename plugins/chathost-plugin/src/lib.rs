//! Write handlers of a chathost server in Rust.
//!
//! ```
//! use chathost_plugin::{App, Error, Plugin, Result, Session, export_plugin};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Throw {
//!     sides: u32,
//! }
//!
//! #[derive(Serialize)]
//! struct Thrown {
//!     value: u32,
//!     throws: u64,
//! }
//!
//! /// Answers `dice.diceHandler.throw`.
//! async fn throw(app: App, msg: Throw, session: Session) -> Result<Thrown> {
//!     if msg.sides < 2 {
//!         return Err(Error::new(400, "a die has at least two sides"));
//!     }
//!     // Kept by the server: it survives a swap.
//!     let throws = app.get::<u64>("throws").unwrap_or_default() + 1;
//!     app.set("throws", &throws);
//!     let thrown = Thrown { value: throws as u32 % msg.sides + 1, throws };
//!     if let Some(room) = session.get::<String>("rid") {
//!         app.channel(&room).push_message("onThrow", &thrown)?;
//!     }
//!     Ok(thrown)
//! }
//!
//! fn plugin(plugin: &mut Plugin) -> Result<()> {
//!     plugin.handler("diceHandler.throw", throw);
//!     Ok(())
//! }
//!
//! export_plugin!(plugin);
//!
//! // In a test, without a server:
//! # fn main() {
//! let host = chathost_plugin::test::Host::new("dice", plugin);
//! let alice = host.session("alice", "connector-1");
//! let reply = host.request("diceHandler.throw", &alice, r#"{"sides":6}"#);
//! assert_eq!(reply.unwrap(), r#"{"value":2,"throws":1}"#);
//! assert_eq!(host.request("diceHandler.throw", &alice, r#"{"sides":1}"#).unwrap_err().code(), 400);
//! # }
//! ```
//!
//! A library of the crate type `cdylib` with [`export_plugin!`] is a plugin; `config/handlers.json` says what it serves.
//! How to build and load it is in `plugins/README.md`.
//!
//! Handlers are `async`, and run on their server's thread: they need not be `Send`, and everybody on the server waits
//! while one computes. What blocks belongs into [`App::blocking`]. Statics and [`App::local`]s are the generation's and
//! go with it; what is to stay is kept by the server ([`App::set`], [`Channel::set`], [`Session::set`]).
//!
//! A panic is answered with `{"code":500}` and logged with file and line. It cannot be caught where panics abort, so
//! `panic = "abort"` is refused by the compiler.

#![allow(
    unsafe_code,
    reason = "the plugin's edge of a C interface: `host`, `export` and `test`; the rest is safe"
)]

#[cfg(panic = "abort")]
compile_error!("a chathost plugin needs panic = \"unwind\": a panic must not end the server");

mod app;
mod args;
mod blocking;
mod channel;
mod error;
#[doc(hidden)]
pub mod export;
mod filter;
mod host;
mod panics;
mod plugin;
mod rpc;
mod session;
mod session_service;
mod task;
pub mod test;
mod timer;

pub use app::App;
pub use args::Args;
pub use channel::{Channel, Member, Push};
pub use error::{Error, Result};
pub use filter::{Flow, Message, RpcCall};
pub use plugin::Plugin;
pub use rpc::Rpc;
pub use session::Session;
pub use session_service::{BackendSessionService, SessionService};
pub use timer::Timer;
