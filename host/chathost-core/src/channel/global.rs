//! Global channels: channels that no single server keeps.
//!
//! Pomelo's `globalChannelService`, in memory: each frontend keeps who of its own users is in a channel, so a member goes
//! with its frontend, and a push is one envelope per frontend. Any server may ask.

use super::{ChannelService, deliver};
use crate::{
    app::App,
    envelope::{Answer, Content, GlobalOp, ServerId, Uid},
    error::CallError,
    kept::Allowance,
    rpc,
};
use futures_util::future::join_all;
use std::{rc::Rc, sync::Arc};

/// One frontend's part of all global channels.
#[derive(Debug)]
pub struct GlobalChannels(ChannelService);

impl GlobalChannels {
    /// No channels.
    pub(crate) fn new(kept: Arc<Allowance>) -> Self {
        Self(ChannelService::new(kept))
    }

    /// Does to this frontend's part what some server asked for.
    ///
    /// # Errors
    /// This frontend's handlers, and those who ask it, keep too much.
    pub(crate) fn apply(&self, app: &Rc<App>, name: &str, op: &GlobalOp) -> Result<Answer, CallError> {
        let found = self.0.channel(name);
        match (op, found) {
            (GlobalOp::Add(uid), found) => {
                let channel = found.map_or_else(|| self.0.create_channel(name), Ok)?;
                let added = self.0.add(&channel, uid.clone(), app.id().clone());
                if channel.user_amount() == 0 {
                    // It was made for this one.
                    self.0.destroy(&channel);
                }
                added?;
            }
            (GlobalOp::Leave(uid), Some(channel)) => drop(self.0.leave(&channel, uid, app.id())),
            (GlobalOp::Members, found) => {
                return Ok(Answer::Uids(
                    found.map(|found| found.members()).unwrap_or_default(),
                ));
            }
            (GlobalOp::Push(message), found) => {
                let groups = found.map(|found| found.groups()).unwrap_or_default();
                let pushed = groups
                    .iter()
                    .map(|(_, members)| deliver::push(app, message, members, &[], true));
                return Ok(Answer::Uids(pushed.flatten().collect()));
            }
            (GlobalOp::Destroy, Some(channel)) => self.0.destroy(&channel),
            (GlobalOp::Leave(_) | GlobalOp::Destroy, None) => {}
        }
        Ok(Answer::Done)
    }
}

/// Asks one frontend for its part. Returns uids: the members, or those that a push did not reach.
///
/// # Errors
/// The frontend does not answer.
pub async fn ask_one(app: &Rc<App>, sid: &ServerId, name: &str, op: GlobalOp) -> Result<Vec<Uid>, CallError> {
    let name: Arc<str> = name.into();
    let answer = if sid == app.id() {
        app.globals.apply(app, &name, &op)?
    } else {
        rpc::ask(app, sid, |call| Content::Global {
            call: Some(call),
            name,
            op,
        })
        .await?
    };
    Ok(match answer {
        Answer::Uids(uids) => uids,
        _ => Vec::new(),
    })
}

/// Asks every frontend of a type. No frontend is nobody, and not an error.
///
/// # Errors
/// None of them answered.
pub async fn ask_all(
    app: &Rc<App>,
    server_type: &str,
    name: &str,
    op: &GlobalOp,
) -> Result<Vec<Uid>, CallError> {
    let frontends = app
        .cluster
        .servers_of(server_type)
        .filter(|server| server.frontend);
    let answers = join_all(frontends.map(|server| ask_one(app, &server.id, name, op.clone()))).await;
    let mut uids = Vec::new();
    let mut refused = None;
    let asked = answers.len();
    let mut failed = 0;
    for answer in answers {
        match answer {
            Ok(found) => uids.extend(found),
            Err(error) => {
                failed += 1;
                refused = Some(error);
            }
        }
    }
    match refused {
        Some(error) if failed == asked => Err(error),
        _ => Ok(uids),
    }
}
