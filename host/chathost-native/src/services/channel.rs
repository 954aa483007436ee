//! `channelService` and `channel`, and pushing. Channels go by their names.

use super::{
    Args, Told,
    args::{members, uids},
    bad, json, nothing, unknown,
};
use crate::{
    ffi::{self, utf8},
    instance::{Instance, finish, tell},
};
use chathost_abi::{CODE_GONE, Done, PUSH_ACKNOWLEDGED, PUSH_BINDED, Push};
use chathost_core::{
    channel::{Member, PushOptions},
    envelope::{PushMessage, Uid},
    error::CallError,
};
use serde_json::json as object;
use std::rc::Rc;

pub(super) fn ask(instance: &Instance, name: &str, args: &Args<'_>) -> Option<Told> {
    let (app, channels) = (&instance.app, &instance.app.channels);
    // Every one of them begins with the channel's name.
    let channel = match args.uid(0) {
        Ok(channel) => channel,
        Err(error) => return Some(Err(error)),
    };
    let found = channels.channel(&channel);
    Some(match name {
        "channelService.createChannel" => channels.create_channel(&channel).and_then(|_| nothing()),
        "channelService.getChannel" => json(found.is_some()),
        "channelService.destroyChannel" => {
            channels.destroy_channel(&channel);
            nothing()
        }
        "channel.add" => args.uid(1).and_then(|uid| {
            let sid = args.text(2)?;
            let sid = app
                .cluster
                .server(sid)
                .map_or_else(|| sid.into(), |server| server.id.clone());
            let room = channels.create_channel(&channel)?;
            let added = channels.add(&room, uid, sid);
            if added.is_err() && found.is_none() {
                channels.destroy(&room);
            }
            json(added?)
        }),
        "channel.leave" => args.uid(1).and_then(|uid| {
            let sid = args.text(2)?;
            json(found.is_some_and(|found| channels.leave(&found, &uid, sid)))
        }),
        "channel.getMembers" => json(
            found
                .map(|found| found.members())
                .unwrap_or_default()
                .iter()
                .map(|uid| &**uid)
                .collect::<Vec<_>>(),
        ),
        "channel.getMember" => args
            .uid(1)
            .and_then(|uid| match found.and_then(|found| found.member(&uid)) {
                Some(Member { uid, sid }) => json(object!({ "uid": &*uid, "sid": &*sid })),
                None => nothing(),
            }),
        "channel.getUserAmount" => json(found.map_or(0, |found| found.user_amount())),
        "channel.get" => args
            .text(1)
            .and_then(|key| match found.and_then(|found| found.get(key)) {
                Some(value) => json(value),
                None => nothing(),
            }),
        "channel.set" => args.text(1).and_then(|key| match found {
            Some(found) => found.set(key, args.value(2)).and_then(|()| nothing()),
            None => Err(none(&channel)),
        }),
        _ => return Some(Err(unknown(name))),
    })
}

/// What a push says, read once.
struct Pushed {
    message: PushMessage,
    options: PushOptions,
    acknowledged: bool,
    binded: bool,
}

impl Instance {
    /// Pushes to clients.
    pub(crate) fn push(self: &Rc<Self>, push: &Push, done: Done) {
        if self.has_ended() {
            return finish(done, CODE_GONE, b"the instance is being destroyed");
        }
        // SAFETY: the bytes of a push are there during the call that hands it over, and that is this one.
        let [route, body, channel, users, broadcast, exclude] = unsafe {
            [
                push.route,
                push.body,
                push.channel,
                push.users,
                push.broadcast,
                push.exclude,
            ]
            .map(|bytes| ffi::bytes(bytes))
        };
        let pushed = || -> Result<Pushed, CallError> {
            if route.is_empty() || route.len() > 255 {
                return Err(bad("a route has 1 to 255 bytes".to_owned()));
            }
            if body.is_empty() {
                return Err(bad("data should not be empty".to_owned()));
            }
            Ok(Pushed {
                message: PushMessage {
                    route: utf8(route).into(),
                    body: bytes::Bytes::copy_from_slice(body),
                },
                options: match exclude {
                    [] => PushOptions::default(),
                    exclude => PushOptions {
                        exclude: uids(exclude)?.into(),
                    },
                },
                acknowledged: push.flags & PUSH_ACKNOWLEDGED != 0,
                binded: push.flags & PUSH_BINDED != 0,
            })
        };
        let pushed = match pushed() {
            Ok(pushed) => pushed,
            Err(error) => return tell(done, Err(error)),
        };
        if !channel.is_empty() {
            self.push_to_channel(&utf8(channel), pushed, done);
        } else if !users.is_empty() {
            match members(users) {
                Ok((members, nowhere)) => self.push_to_users(members, nowhere, pushed, done),
                Err(error) => tell(done, Err(error)),
            }
        } else {
            let frontends = utf8(broadcast);
            let sent = self
                .app
                .channels
                .broadcast(&self.app, &frontends, &pushed.message, pushed.binded);
            tell(done, sent.map(|()| Vec::new()));
        }
    }

    fn push_to_channel(self: &Rc<Self>, name: &str, pushed: Pushed, done: Done) {
        let app = self.app.clone();
        let Some(channel) = app.channels.channel(name) else {
            return tell(done, Err(none(name)));
        };
        let Pushed { message, options, .. } = pushed;
        if !pushed.acknowledged {
            let pushed = app.channels.push_message(&app, &channel, &message, &options);
            return tell(done, pushed.map(|_| Vec::new()));
        }
        self.later(done, async move {
            let channels = &app.channels;
            names(
                &channels
                    .push_message_acknowledged(&app, &channel, &message, &options)
                    .await?,
            )
        });
    }

    fn push_to_users(
        self: &Rc<Self>,
        members: Vec<Member>,
        mut nowhere: Vec<Uid>,
        pushed: Pushed,
        done: Done,
    ) {
        let app = self.app.clone();
        let Pushed { message, options, .. } = pushed;
        if !pushed.acknowledged {
            let pushed = app
                .channels
                .push_message_by_uids(&app, members, &message, &options);
            return tell(done, pushed.map(|_| Vec::new()));
        }
        self.later(done, async move {
            let channels = &app.channels;
            let unreached = channels.push_message_by_uids_acknowledged(&app, members, &message, &options);
            nowhere.extend(unreached.await?);
            names(&nowhere)
        });
    }
}

/// The uids that were not reached; nothing if there are none.
fn names(uids: &[Uid]) -> Told {
    if uids.is_empty() {
        return nothing();
    }
    json(uids.iter().map(|uid| &**uid).collect::<Vec<_>>())
}

fn none(channel: &str) -> CallError {
    CallError::failed(format!("there is no channel {channel}"))
}
