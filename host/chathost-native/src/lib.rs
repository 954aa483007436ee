//! Handlers in shared libraries: native plugins.
//!
//! A [`Library`] is a file that was copied aside, opened, and found to speak `chathost-abi`; it is never closed. As a
//! [`HandlerFactory`](chathost_core::handler::HandlerFactory) it makes an instance for each server, and that is what
//! dispatch calls. The host's `unsafe` is here and nowhere else: in [`library`] (opening), `ffi` (what a plugin hands
//! over) and `instance` (calling it).
//!
//! What a plugin can do on its server is `services`; what dispatch asks of it is `handlers`; what other threads send is
//! `mailbox`.

#![allow(
    unsafe_code,
    reason = "a C interface: every block says why it is sound, and nothing else is here"
)]

mod calls;
mod declared;
mod ffi;
mod handlers;
mod handles;
mod instance;
pub mod library;
mod mailbox;
mod services;
mod timers;

pub use library::{Library, kept_open};
