//! The integration tests: one binary, a module per behaviour, everything at the socket.
//!
//! The clusters they run against and the client they use are in `tests/src`.
// What goes wrong in a helper ends the test that called it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod channels;
mod connector;
mod crowd;
mod demo;
mod global_channels;
mod handlers;
mod hostile;
mod house;
mod order;
mod rpc;
mod session_service;
mod sessions;
mod start;
mod steps;
mod stop;
mod swap;
