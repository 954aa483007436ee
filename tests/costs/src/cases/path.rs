//! The whole way of a `chat.send`: the demo's scripts on a connector and a chat server, from one client's frame to
//! everybody's sockets. The client's own part is one `write`.

use super::Routine;
use crate::{
    crowd::{self, Client, Crowd},
    stage::{self, ROOM, Stage},
};
use chathost_core::handler::HandlerSource;
use chathost_lua::LuaHandlers;
use std::path::Path;

/// Nobody is in the room: what is left is request and response.
pub(super) fn request(program: &Path) -> Routine {
    way(program, 0)
}

/// A thousand are.
pub(super) fn fanout_to_1000(program: &Path) -> Routine {
    way(program, 1000)
}

fn way(program: &Path, members: usize) -> Routine {
    let stage = Stage::new();
    let scripts = LuaHandlers::new(stage::scripts());
    let connector = stage.server("connector-1", &*scripts.read("connector").expect("scripts"));
    let chat = stage.server("chat-1", &*scripts.read("chat").expect("scripts"));
    let address = stage.listen(&connector);
    let crowd = (members > 0).then(|| Crowd::enter(program, &stage, &connector, address, members));
    let channel = chat.channels.create_channel(ROOM).expect("room");
    for session in connector.sessions.all() {
        let uid = session.uid().expect("bound");
        assert!(
            chat.channels
                .add(&channel, uid, connector.id().clone())
                .expect("room")
        );
    }
    let client = Client::enter(&stage, &connector, address);
    let frame = crowd::request(7);
    // WebSocket, package and message headers, and `{}`.
    let answer = 2 + 4 + 2 + 2;
    Box::new(move |meter| {
        let _ = &crowd;
        let everything = 1 + members as u64;
        let send = || {
            let all = connector.outgoing.writes() + everything;
            client.send(&frame);
            stage.until(|| connector.outgoing.writes() >= all);
        };
        meter.batches(1, send, || assert_eq!(client.drain(), answer));
    })
}
