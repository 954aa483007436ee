//! A call of another server's remote and its results, where the remote costs nothing.

use super::{Routine, dispatch::Echo};
use crate::{
    meter::part,
    stage::{self, Stage},
};
use bytes::Bytes;
use chathost_core::{remote, rpc, turn};
use std::{path::Path, sync::Arc, thread};
use tokio::sync::oneshot;

/// Both servers on this thread, as in a small process.
pub(super) fn one_thread(_: &Path) -> Routine {
    let stage = Stage::new();
    let caller = stage.server("connector-1", &Echo);
    stage.server("chat-1", &Echo);
    let (to, method, args) = call();
    Box::new(move |meter| {
        meter.each(|| {
            let results = rpc::call(&caller, &to, method.clone(), args.clone());
            stage.runtime.block_on(results).expect("results")
        });
    })
}

/// The other server on a thread of its own; the instructions of both count.
pub(super) fn two_threads(_: &Path) -> Routine {
    let stage = Stage::new();
    let caller = stage.server("connector-1", &Echo);
    let (to, method, args) = call();
    Box::new(move |meter| {
        let (seat, collect) = (stage.seat("chat-1"), meter.collect());
        let (say_ready, ready) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let callee = thread::spawn(move || {
            let (app, mailbox, runtime) = (seat.app(), seat.mailbox(), stage::runtime());
            runtime.block_on(async { stage::serve(&app, &Echo) });
            runtime.spawn_local(remote::run(app.clone(), mailbox));
            runtime.spawn_local(turn::run(app.clone()));
            say_ready.send(()).expect("somebody waits");
            let mut stopped = Some(stopped);
            part(collect, &mut || {
                drop(runtime.block_on(stopped.take().expect("once")));
            });
            app.serving
                .current()
                .inspect(|generation| generation.handlers().end());
        });
        ready.recv().expect("the other server");
        meter.each(|| {
            let results = rpc::call(&caller, &to, method.clone(), args.clone());
            stage.runtime.block_on(results).expect("results")
        });
        drop(stop);
        callee.join().expect("it ends");
    })
}

fn call() -> (Arc<str>, Arc<str>, Bytes) {
    (
        "chat-1".into(),
        "echoRemote.echo".into(),
        Bytes::from(r#"["a user","a room"]"#),
    )
}
