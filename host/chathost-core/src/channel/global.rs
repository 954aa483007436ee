//! Global channels: channels that no single server keeps.
//!
//! Pomelo's `globalChannelService`, in memory: each frontend keeps who of its own users is in a channel, so a member goes
//! with its frontend, and a push is one envelope per frontend. Any server may ask.

use super::deliver;
use crate::{
    app::App,
    envelope::{Answer, Content, GlobalOp, ServerId, Uid},
    error::CallError,
    rpc,
};
use futures_util::future::join_all;
use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

/// One frontend's part of all global channels.
#[derive(Debug, Default)]
pub struct GlobalChannels(RefCell<HashMap<Arc<str>, Vec<Uid>>>);

impl GlobalChannels {
    /// Does to this frontend's part what some server asked for.
    pub(crate) fn apply(&self, app: &Rc<App>, name: &Arc<str>, op: &GlobalOp) -> Answer {
        match op {
            GlobalOp::Add(uid) => {
                let mut channels = self.0.borrow_mut();
                let members = channels.entry(name.clone()).or_default();
                if !members.contains(uid) {
                    members.push(uid.clone());
                }
            }
            GlobalOp::Leave(uid) => {
                let mut channels = self.0.borrow_mut();
                if let Some(members) = channels.get_mut(name) {
                    members.retain(|member| member != uid);
                    if members.is_empty() {
                        channels.remove(name);
                    }
                }
            }
            GlobalOp::Members => return Answer::Uids(self.members(name)),
            GlobalOp::Push(message) => {
                let members = self.members(name).into();
                return Answer::Uids(deliver::push(app, message, &members, &[], false));
            }
            GlobalOp::Destroy => drop(self.0.borrow_mut().remove(name)),
        }
        Answer::Done
    }

    fn members(&self, name: &str) -> Vec<Uid> {
        self.0.borrow().get(name).cloned().unwrap_or_default()
    }
}

/// Asks one frontend for its part. Returns uids: the members, or those that a push did not reach.
///
/// # Errors
/// The frontend does not answer.
pub async fn ask_one(app: &Rc<App>, sid: &ServerId, name: &str, op: GlobalOp) -> Result<Vec<Uid>, CallError> {
    let name: Arc<str> = name.into();
    let answer = if sid == app.id() {
        app.globals.apply(app, &name, &op)
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
