//! The end of a turn: what waits for a client is written to its socket, in one system call.

use super::Routine;
use crate::{crowd::Client, stage::Stage};
use bytes::BytesMut;
use chathost_core::connector::Frame;
use std::path::Path;

pub(super) fn flush_1_frame(_: &Path) -> Routine {
    flush(1)
}

pub(super) fn flush_16_frames(_: &Path) -> Routine {
    flush(16)
}

fn flush(frames: usize) -> Routine {
    let stage = Stage::new();
    let app = stage.app("connector-1");
    stage.turns(&app);
    let address = stage.listen(&app);
    let client = Client::enter(&stage, &app, address);
    let session = app.sessions.all().pop().expect("the client's");
    // As long as a push of a hundred bytes with its headers.
    let frame = Frame::push(BytesMut::from(&[b'x'; 120][..]), None);
    Box::new(move |meter| {
        // The runtime knows the sockets.
        let _ = &stage;
        let fill = || (0..frames).for_each(|_| session.connection().enqueue(&app, frame.clone()));
        let write = || assert!(!app.outgoing.flush_slice(usize::MAX));
        fill();
        meter.batches(1, write, || {
            assert_eq!(client.drain(), 120 * frames);
            fill();
        });
        write();
        client.drain();
    })
}
