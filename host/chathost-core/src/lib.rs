//! The engine of chathost: what owns the sockets, the sessions, the channels and the calls between servers.
//!
//! It is not the program (`chathost`: command line, files, logs) and knows no handler language: scripts are
//! `chathost-lua`, libraries `chathost-native`; both implement [`handler::HandlerFactory`].
//!
//! A *server* of `servers.json` is one OS thread with a current-thread runtime, or shares one ([`server`]). Everything it owns
//! hangs on its [`app::App`] behind `Rc` and `RefCell`; servers meet only by [`envelope::Envelope`]s. The way of one
//! message: [`connector`] reads it, [`dispatch`] answers it here or sends it on, [`remote`] receives it on the other
//! server, [`handler`] answers, [`channel`] pushes, and [`connector`] writes everything at the end of the turn.

pub mod app;
mod busy;
pub mod channel;
pub mod config;
pub mod connector;
pub mod dispatch;
pub mod envelope;
pub mod error;
pub mod handler;
pub mod hash;
pub mod host;
pub mod kept;
pub mod lane;
mod map;
pub mod post;
pub mod pulse;
pub mod remote;
pub mod route;
pub mod rpc;
mod server;
pub mod session;
pub mod tasks;
pub mod turn;
mod wake;
