//! The list of cases, in the order of a message's way. One file for each step.
//!
//! A case is a function that prepares and returns what is measured, a closure that runs as many operations as its
//! [`Meter`] says. To add one: write it, add a line to [`CASES`], and accept its count.

mod codec;
mod dispatch;
mod handler;
mod json;
mod outbox;
mod path;
mod push;
mod rpc;

use crate::meter::Meter;
use std::path::Path;

/// What is measured, as often as it takes.
pub type Routine = Box<dyn FnMut(&mut Meter)>;

/// One case.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// `group/name`.
    pub name: &'static str,
    /// What one operation writes so many of, for the throughput: frames, members.
    pub elements: u64,
    /// Operations under callgrind: enough for a collection or two of the scripts' memory.
    pub counted: u64,
    /// Percent that it may grow by.
    pub tolerance: f64,
    /// Prepares. The path is this crate's program; the native plugin is built beside it.
    pub prepare: fn(&Path) -> Routine,
}

/// All of them.
pub const CASES: &[Case] = &[
    case("codec/decode_request", 1, 2000, codec::decode_request),
    case("codec/encode_response", 1, 2000, codec::response),
    case("codec/encode_push", 1, 2000, codec::push),
    case("codec/handshake", 1, 500, codec::handshake),
    case("codec/websocket_request", 1, 1000, codec::websocket_request),
    case("codec/websocket_upgrade", 1, 200, codec::websocket_upgrade),
    case("json/to_lua", 1, 2000, json::to_lua),
    case("json/from_lua", 1, 2000, json::from_lua),
    case("dispatch/forward", 1, 1024, dispatch::forward),
    case("dispatch/answer", 1, 1024, dispatch::answer),
    case("handler/lua_room_of_0", 1, 2000, handler::lua_room_of_0),
    case("handler/lua_room_of_10", 1, 2000, handler::lua_room_of_10),
    case("handler/native_room_of_0", 1, 2000, handler::native_room_of_0),
    case("handler/native_room_of_10", 1, 2000, handler::native_room_of_10),
    case("push/send_to_1", 1, 1024, push::send_to_1),
    case("push/send_to_100", 1, 1024, push::send_to_100),
    case("push/send_to_10000", 1, 1024, push::send_to_10000),
    case("push/send_after_join_1000", 1000, 50, push::send_after_join_1000),
    case("push/deliver_to_1", 1, 1024, push::deliver_to_1),
    case("push/deliver_to_100", 100, 100, push::deliver_to_100),
    case("push/deliver_to_10000", 10_000, 10, push::deliver_to_10000),
    case("push/deliver_16_to_100", 100, 1600, push::deliver_16_to_100),
    case(
        "push/deliver_16_answered_to_100",
        100,
        1600,
        push::deliver_16_answered_to_100,
    ),
    case("outbox/flush_1_frame", 1, 500, outbox::flush_1_frame),
    case("outbox/flush_16_frames", 16, 500, outbox::flush_16_frames),
    case("rpc/one_thread", 1, 1000, rpc::one_thread),
    Case {
        // How often the two have to wake each other is the scheduler's choice: 7 % more on a machine that is busy
        // otherwise. What else it costs is in the one above.
        tolerance: 15.0,
        ..case("rpc/two_threads", 1, 1000, rpc::two_threads)
    },
    case("path/request", 1, 1000, path::request),
    case("path/fanout_to_1000", 1000, 50, path::fanout_to_1000),
];

const fn case(name: &'static str, elements: u64, counted: u64, prepare: fn(&Path) -> Routine) -> Case {
    Case {
        name,
        elements,
        counted,
        tolerance: 5.0,
        prepare,
    }
}

/// The case of this name.
pub fn find(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}
