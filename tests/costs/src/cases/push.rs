//! A push to a channel: on the chat server into the queues of the frontends, and on the frontend into the outboxes.

use super::Routine;
use crate::{
    crowd::Crowd,
    stage::{self, ROOM, Stage},
};
use bytes::BytesMut;
use chathost_core::{app::App, channel::Channel, connector::Frame};
use std::{path::Path, rc::Rc};

/// Pushes before the queues are emptied.
const BATCH: u64 = 64;

/// The frontends that members are spread over.
const FRONTENDS: [&str; 3] = ["connector-1", "connector-2", "connector-3"];

pub(super) fn send_to_1(_: &Path) -> Routine {
    send(1, false)
}

pub(super) fn send_to_100(_: &Path) -> Routine {
    send(100, false)
}

pub(super) fn send_to_10000(_: &Path) -> Routine {
    send(10_000, false)
}

/// Somebody joins, everybody hears of it, and somebody leaves: the list of members is made anew.
pub(super) fn send_after_join_1000(_: &Path) -> Routine {
    send(1000, true)
}

fn send(members: usize, join: bool) -> Routine {
    let stage = Stage::new();
    let app = stage.app("chat-1");
    stage.turns(&app);
    let mut frontends = FRONTENDS.map(|id| stage.mailbox(id));
    let channel = app.channels.create_channel(ROOM).expect("room");
    for (member, sid) in (0..members).zip(FRONTENDS.iter().cycle()) {
        add(&app, &channel, &format!("user{member}*room"), sid);
    }
    let message = stage::push();
    Box::new(move |meter| {
        let push = || {
            if join {
                add(&app, &channel, "alice*room", "connector-1");
            }
            let unreached = app
                .channels
                .push_message(&app, &channel, &message, &Default::default());
            assert_eq!(unreached.expect("a channel"), []);
            if join {
                app.channels.leave(&channel, "alice*room", "connector-1");
            }
        };
        meter.batches(BATCH, push, || {
            for frontend in frontends.iter_mut().take(members) {
                assert!(stage.runtime.block_on(frontend.recv()).is_some());
            }
        });
    })
}

fn add(app: &Rc<App>, channel: &Rc<Channel>, uid: &str, sid: &str) {
    assert!(app.channels.add(channel, uid.into(), sid.into()).expect("room"));
}

pub(super) fn deliver_to_1(program: &Path) -> Routine {
    deliver(program, 1, 1, false)
}

pub(super) fn deliver_to_100(program: &Path) -> Routine {
    deliver(program, 100, 1, false)
}

pub(super) fn deliver_to_10000(program: &Path) -> Routine {
    deliver(program, 10_000, 1, false)
}

pub(super) fn deliver_16_to_100(program: &Path) -> Routine {
    deliver(program, 100, 16, false)
}

pub(super) fn deliver_16_answered_to_100(program: &Path) -> Routine {
    deliver(program, 100, 16, true)
}

/// The frontend's part: the frame is made once and put into each member's outbox, and the connection on the list of
/// those to flush. Of several `in_a_row` only the first; the others are appended to its frame. `answered`: the member who
/// said it gets an answer after each.
fn deliver(program: &Path, members: usize, in_a_row: u64, answered: bool) -> Routine {
    let stage = Stage::new();
    let app = stage.app("connector-1");
    stage.turns(&app);
    let address = stage.listen(&app);
    let crowd = Crowd::enter(program, &stage, &app, address, members);
    // Members of a channel on the frontend itself are delivered to at once.
    let channel = app.channels.create_channel(ROOM).expect("room");
    for session in app.sessions.all() {
        let uid = session.uid().expect("bound");
        assert!(app.channels.add(&channel, uid, app.id().clone()).expect("room"));
    }
    let message = stage::push();
    let talker = app.sessions.all().pop().expect("a member");
    let answer = Frame::kept(BytesMut::from(&[b'x'; 20][..]));
    Box::new(move |meter| {
        let _ = &crowd;
        let push = || {
            let unreached = app
                .channels
                .push_message(&app, &channel, &message, &Default::default());
            assert_eq!(unreached.expect("a channel"), []);
            if answered {
                talker.connection().enqueue(&app, answer.clone());
            }
        };
        meter.batches(in_a_row, push, || flush(&stage, &app, members));
    })
}

/// Writes everything, and sees that it was one write for each.
fn flush(stage: &Stage, app: &App, members: usize) {
    let all = app.outgoing.writes() + members as u64;
    stage.until(|| app.outgoing.writes() == all);
}
