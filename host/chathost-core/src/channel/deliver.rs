//! A push arrives at the frontend: one body, encoded once per wire form, into every recipient's outbox.
//!
//! Pomelo's `channelRemote`. The loop per member does a look-up and a queue operation, nothing else; writing is the end
//! of the turn's.

use super::excluded::Excluded;
use crate::{
    app::App,
    connector::PushEncoder,
    envelope::{PushMessage, Uid},
};
use std::{rc::Rc, sync::Arc};

/// Delivers to users of this frontend. Returns those that have no session here. `of_channel`: the list is a channel's, and the
/// same one will come again.
pub(crate) fn push(
    app: &Rc<App>,
    message: &PushMessage,
    recipients: &Arc<[Uid]>,
    exclude: &[Uid],
    of_channel: bool,
) -> Vec<Uid> {
    let latest = latest(app, message);
    if of_channel
        && exclude.is_empty()
        && let Some(group) = app.sessions.audience(recipients)
    {
        group.push(app, message, latest);
        return Vec::new();
    }
    let mut encoder = PushEncoder::new(message, latest);
    let excluded = Excluded::new(exclude);
    let mut unreached = Vec::new();
    for uid in recipients.iter() {
        if !exclude.is_empty() && excluded.contains(uid) {
            continue;
        }
        if !app.sessions.for_uid(uid, |session| {
            session.connection().enqueue_push(app, &mut encoder);
        }) {
            unreached.push(uid.clone());
        }
    }
    unreached
}

/// Delivers to every session of this frontend that has shaken hands; with `binded` to those with a uid.
pub(crate) fn broadcast(app: &Rc<App>, message: &PushMessage, binded: bool) {
    let mut encoder = PushEncoder::new(message, latest(app, message));
    let sessions = if binded {
        app.sessions.all_binded()
    } else {
        app.sessions.all()
    };
    for session in sessions {
        session.connection().enqueue_push(app, &mut encoder);
    }
}

/// Whether only the newest push of this route counts for a client that is behind.
fn latest(app: &App, message: &PushMessage) -> bool {
    app.settings
        .limits
        .latest_routes
        .iter()
        .any(|route| **route == *message.route)
}
