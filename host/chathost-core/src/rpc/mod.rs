//! Calls from server to server: who is called, and who waits.
//!
//! The way there is [`crate::post`]'s, the receiving side [`crate::remote`]'s. Every call that is made gets an answer:
//! the remote's, an error from the way, or the timeout's.

mod calls;
mod router;

pub(crate) use calls::expire;
pub use calls::{Calls, Waiter};
pub use router::{RouteFn, RouteParam, Router};

use crate::{
    app::App,
    envelope::{Answer, CallId, Content, ServerId},
    error::CallError,
};
use bytes::Bytes;
use std::{rc::Rc, sync::Arc};
use tokio::sync::oneshot;

/// Sends what `content` makes of a call's number, and waits for the answer.
///
/// # Errors
/// What the receiver answered, or why nothing came back.
pub async fn ask(
    app: &Rc<App>,
    to: &ServerId,
    content: impl FnOnce(CallId) -> Content,
) -> Result<Answer, CallError> {
    let (answered, answer) = oneshot::channel();
    app.calls.begin(app, to, Waiter::Task(answered), content);
    answer.await.unwrap_or_else(|_| {
        Err(CallError::no_target(format!(
            "the call to server {to} was given up"
        )))
    })
}

/// Calls a remote and waits for its results, a JSON array: `app.rpc.<type>.<group>.<method>`.
///
/// # Errors
/// What the remote raised, or why nothing came back.
pub async fn call(app: &Rc<App>, to: &ServerId, method: Arc<str>, args: Bytes) -> Result<Bytes, CallError> {
    match ask(app, to, |call| Content::Call {
        call: Some(call),
        method,
        args,
    })
    .await?
    {
        Answer::Results(results) => Ok(results),
        _ => Err(CallError::failed(format!(
            "server {to} answered with something else"
        ))),
    }
}

/// Calls a remote and forgets it: `.notify(…)`.
///
/// # Errors
/// Nobody knows the server, or its queue is full.
pub fn notify(app: &Rc<App>, to: &ServerId, method: Arc<str>, args: Bytes) -> Result<(), CallError> {
    app.post.send(
        app,
        to,
        Content::Call {
            call: None,
            method,
            args,
        },
    )
}
