//! What other servers want of this one: the receiving end of every [`Envelope`].
//!
//! Pomelo's `sys` remotes (`msgRemote`, `channelRemote`, `sessionRemote`) and the script's own. Each message is seen to in
//! the order of arrival; none waits for anything, but after much of it others get their turn.

use crate::{
    app::App,
    channel::deliver,
    dispatch,
    envelope::{Answer, CallId, Content, Envelope, GlobalOp, ServerId},
    error::CallError,
    post::not_sent,
};
use bytes::Bytes;
use std::{rc::Rc, sync::Arc};
use tokio::sync::mpsc;

/// Envelopes taken from the mailbox at once.
const ENVELOPES: usize = 64;

/// How much is received before the turn ends and what came of it is written: some milliseconds of work. More in a turn
/// would gather more into each write, and keep everybody waiting for it.
const TURN: usize = 256;

/// Receives until the mailbox closes.
#[doc(hidden)]
pub async fn run(app: Rc<App>, mut mailbox: mpsc::Receiver<Envelope>) {
    let mut envelopes = Vec::with_capacity(ENVELOPES);
    let mut received = 0;
    while mailbox.recv_many(&mut envelopes, ENVELOPES).await > 0 {
        for Envelope {
            from,
            contents,
            load: _seen_to,
        } in envelopes.drain(..)
        {
            for content in contents {
                received += work(&app, &content);
                receive(&app, &from, content);
                if received >= TURN {
                    received = 0;
                    tokio::task::yield_now().await;
                }
            }
        }
        if mailbox.is_empty() {
            // The turn ends here by itself.
            received = 0;
        }
    }
}

/// About ten microseconds each, or less: a push that is appended to the one before it is nearly nothing.
fn work(app: &App, content: &Content) -> usize {
    let to_some = |receivers: usize| 1 + receivers / 128;
    match content {
        Content::Push { recipients, .. } => to_some(recipients.len()),
        Content::Broadcast { .. }
        | Content::Global {
            op: GlobalOp::Push(_),
            ..
        } => to_some(app.sessions.count()),
        Content::Forward { .. } | Content::Call { .. } => 2,
        _ => 1,
    }
}

/// Sees to a message, or puts it off: what makes a handler run has to wait while the server that wants it does not take
/// what it got already.
pub(crate) fn receive(app: &Rc<App>, from: &ServerId, content: Content) {
    let runs = matches!(content, Content::Forward { .. } | Content::Call { .. });
    if runs && !app.post.keeps_up(from) {
        return app.post.put_off(from, content);
    }
    perform(app, from, content);
}

/// What was put off, in its order, as long as the server that wants it keeps up.
pub(crate) async fn resume(app: &Rc<App>, from: &ServerId) {
    let mut received = 0;
    while let Some(content) = app.post.next_put_off(from) {
        received += work(app, &content);
        perform(app, from, content);
        if received >= TURN {
            received = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Does what a message asks, and sends the answer if it wants one.
fn perform(app: &Rc<App>, from: &ServerId, content: Content) {
    match content {
        Content::Forward {
            call,
            session,
            route,
            body,
        } => {
            let (context, from) = (app.clone(), from.clone());
            dispatch::execute(app, &session, route, body, call.is_none(), move |reply| {
                answer(&context, &from, call, || Ok(Answer::Reply(reply)));
            });
        }
        Content::Call { call, method, args } => invoke(app, from.clone(), call, method, args),
        Content::Push {
            call,
            message,
            recipients,
            of_channel,
            exclude,
        } => {
            let unreached = deliver::push(app, &message, &recipients, &exclude, of_channel);
            answer(app, from, call, || Ok(Answer::Uids(unreached)));
        }
        Content::Broadcast {
            call,
            message,
            binded,
        } => {
            deliver::broadcast(app, &message, binded);
            answer(app, from, call, || Ok(Answer::Done));
        }
        Content::Global { call, name, op } => {
            let done = app.globals.apply(app, &name, &op);
            answer(app, from, call, || done);
        }
        Content::Session { call, target, op } => {
            let outcome = app.sessions.apply(app, &target, &op);
            answer(app, from, call, || outcome.map(Answer::Sessions));
        }
        Content::Answer { call, answer } => app.calls.answered(app, from, call, answer),
    }
}

fn invoke(app: &Rc<App>, from: ServerId, call: Option<CallId>, method: Arc<str>, args: Bytes) {
    if app.gate.is_closed() {
        if let Err(error) = app.gate.admit(app.settings.rpc.max_pending) {
            return answer(app, &from, call, || Err(error));
        }
        let context = app.clone();
        return app.gate.wait(move || invoke(&context, from, call, method, args));
    }
    let found = app.serving.current().and_then(|generation| {
        let method = generation.handlers().manifest().remote(&method)?;
        Some((generation, method))
    });
    let Some((generation, method)) = found else {
        let error = CallError::failed(format!("no such service/method:{}.{method}", app.server_type()));
        tracing::warn!(%from, %error, "a call found no remote");
        return answer(app, &from, call, || Err(error));
    };
    let context = app.clone();
    app.lanes.beside().run(move || {
        generation.invoke(method, args, move |results| {
            answer(&context, &from, call, || results.map(Answer::Results));
        })
    });
}

fn answer(
    app: &Rc<App>,
    to: &ServerId,
    call: Option<CallId>,
    outcome: impl FnOnce() -> Result<Answer, CallError>,
) {
    let Some(call) = call else { return };
    if let Err(error) = app.post.send(
        app,
        to,
        Content::Answer {
            call,
            answer: outcome(),
        },
    ) {
        // The caller's own timeout tells it.
        not_sent!(error, "an answer did not leave", %to);
    }
}
