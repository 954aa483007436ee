//! Handlers in Lua, seen from a client: what they answer, what they are given, in which order they run, and what they
//! may not do.

mod answers;
mod app;
mod bodies;
mod filters;
mod layout;
mod order;
