//! The demo's `chat.chatHandler.send`, from the body of a request to the body of its answer, the push into the queue
//! included: as a script, and as a library.

use super::Routine;
use crate::stage::{self, BODY, ROOM, Stage, at_once};
use bytes::Bytes;
use chathost_core::{
    handler::{HandlerFactory, HandlerSource, Request},
    session::BackendSession,
};
use chathost_lua::LuaHandlers;
use chathost_native::Library;
use std::{
    env::consts::{DLL_PREFIX, DLL_SUFFIX},
    path::Path,
};

/// Calls before the pushes are taken out of the queue.
const BATCH: u64 = 64;

pub(super) fn lua_room_of_0(_: &Path) -> Routine {
    send(&*scripts(), 0)
}

pub(super) fn lua_room_of_10(_: &Path) -> Routine {
    send(&*scripts(), 10)
}

pub(super) fn native_room_of_0(program: &Path) -> Routine {
    send(&*plugin(program), 0)
}

pub(super) fn native_room_of_10(program: &Path) -> Routine {
    send(&*plugin(program), 10)
}

fn send(handlers: &dyn HandlerFactory, members: usize) -> Routine {
    let stage = Stage::new();
    let app = stage.app("chat-1");
    stage.turns(&app);
    let mut frontend = stage.mailbox("connector-1");
    let guard = stage.runtime.enter();
    let handlers = handlers.build(&app, 1).expect("handlers that load");
    drop(guard);
    let method = handlers.manifest().handler(stage::ROUTE).expect("the demo's");
    let channel = app.channels.create_channel(ROOM).expect("room");
    for member in 0..members {
        let uid = format!("user{member}*room");
        app.channels
            .add(&channel, uid.into(), "connector-1".into())
            .expect("room");
    }
    let (alice, route, body) = (stage::alice(), stage::route(), Bytes::from(BODY));
    Box::new(move |meter| {
        let mut waiting = 0;
        let call = || {
            let _guard = stage.runtime.enter();
            let request = Request {
                method,
                route: route.clone(),
                body: body.clone(),
                session: BackendSession::new(&alice),
                notify: false,
            };
            let reply = at_once(handlers.handle(request));
            assert!(!reply.failed, "{:?}", reply.body);
            reply
        };
        meter.batches(BATCH, call, || {
            if members > 0 {
                let envelope = stage.runtime.block_on(frontend.recv());
                waiting += envelope.map_or(0, |envelope| envelope.contents.len());
            }
        });
        let pushes = if members > 0 { meter.operations() } else { 0 };
        assert_eq!(waiting as u64, pushes);
    })
}

fn scripts() -> std::sync::Arc<dyn HandlerFactory> {
    LuaHandlers::new(stage::scripts())
        .read("chat")
        .expect("the demo's scripts")
}

fn plugin(program: &Path) -> std::sync::Arc<Library> {
    let path = program.with_file_name(format!("{DLL_PREFIX}chat{DLL_SUFFIX}"));
    Library::open(&path).expect("the demo's plugin, built beside the program")
}
