//! The channels of a server, and pushing.
//!
//! Pomelo's `channelService`. Pushing does not wait: the envelopes leave at the end of the turn, in order, so a push
//! reaches a client before the response of the handler that made it. Who wants to know whom it did not reach asks for
//! an acknowledgement and waits.

use crate::{
    app::App,
    channel::{
        Channel, Member, deliver,
        excluded::Excluded,
        members::{CHANNEL, Groups, group},
    },
    envelope::{Answer, Content, PushMessage, ServerId, Uid},
    error::CallError,
    kept::Allowance,
    map::Map,
    post::not_sent,
    rpc,
};
use futures_util::future::join_all;
use std::{
    cell::{LazyCell, RefCell},
    rc::Rc,
    sync::Arc,
};

/// How a push is made.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Uids that are left out.
    pub exclude: Arc<[Uid]>,
}

/// The channels of one server.
#[derive(Debug)]
pub struct ChannelService {
    channels: RefCell<Map<Box<str>, Rc<Channel>>>,
    kept: Arc<Allowance>,
    /// Every channel has one of it.
    alive: Rc<()>,
}

impl ChannelService {
    /// No channels.
    pub(crate) fn new(kept: Arc<Allowance>) -> Self {
        Self {
            channels: RefCell::default(),
            kept,
            alive: Rc::default(),
        }
    }

    /// The channel of this name; made if there is none.
    ///
    /// # Errors
    /// The server's handlers keep too much.
    pub fn create_channel(&self, name: &str) -> Result<Rc<Channel>, CallError> {
        if let Some(channel) = self.channel(name) {
            return Ok(channel);
        }
        let channel = Channel::new(name, &self.kept, &self.alive)?;
        self.channels.borrow_mut().insert(name.into(), channel.clone());
        Ok(channel)
    }

    /// The channel of this name, if there is one.
    pub fn channel(&self, name: &str) -> Option<Rc<Channel>> {
        self.channels.borrow().get(name).cloned()
    }

    /// Ends a channel: it has no members from here on, and takes none.
    pub fn destroy_channel(&self, name: &str) {
        if let Some(channel) = self.channels.borrow_mut().remove(name) {
            channel.mark_destroyed();
        }
    }

    /// Ends this channel, and no other that took its name since.
    pub fn destroy(&self, channel: &Rc<Channel>) {
        self.forget(channel);
        channel.mark_destroyed();
    }

    /// Adds a user who is connected to the frontend `sid`. False after `destroy`.
    ///
    /// # Errors
    /// The server's handlers keep too much.
    pub fn add(&self, channel: &Rc<Channel>, uid: Uid, sid: ServerId) -> Result<bool, CallError> {
        // A script may hold a channel that was freed when it was empty: it is found by its name again.
        let current = self.channels.borrow().get(channel.name()).cloned();
        match current {
            None if !channel.is_destroyed() => {
                let added = channel.insert(uid, sid)?;
                self.channels
                    .borrow_mut()
                    .insert(channel.name().into(), channel.clone());
                Ok(added)
            }
            Some(current) if !channel.is_destroyed() => current.insert(uid, sid),
            _ => Ok(false),
        }
    }

    /// Takes a user out; false if the user was not in. The channel is freed with its last member.
    pub fn leave(&self, channel: &Rc<Channel>, uid: &str, sid: &str) -> bool {
        let left = channel.take_out(uid, sid);
        if left && channel.user_amount() == 0 {
            self.forget(channel);
        }
        left
    }

    /// Channels that exist now.
    pub fn count(&self) -> usize {
        self.channels.borrow().len()
    }

    /// What channels take that do not exist any more and that somebody still has in hand.
    pub(crate) fn lost(&self) -> usize {
        (Rc::strong_count(&self.alive) - 1).saturating_sub(self.count()) * CHANNEL
    }

    fn forget(&self, channel: &Rc<Channel>) {
        let mut channels = self.channels.borrow_mut();
        if channels
            .get(channel.name())
            .is_some_and(|current| Rc::ptr_eq(current, channel))
        {
            channels.remove(channel.name());
        }
    }

    /// Pushes to every member. Returns the uids that are known at once to be out of reach.
    ///
    /// # Errors
    /// The channel was destroyed.
    pub fn push_message(
        &self,
        app: &Rc<App>,
        channel: &Channel,
        message: &PushMessage,
        options: &PushOptions,
    ) -> Result<Vec<Uid>, CallError> {
        Ok(push(app, &alive(channel)?, message, options))
    }

    /// Pushes to every member, and waits until every frontend has said whom it did not find.
    ///
    /// # Errors
    /// The channel was destroyed.
    pub async fn push_message_acknowledged(
        &self,
        app: &Rc<App>,
        channel: &Channel,
        message: &PushMessage,
        options: &PushOptions,
    ) -> Result<Vec<Uid>, CallError> {
        Ok(push_acknowledged(app, &alive(channel)?, message, options).await)
    }

    /// Pushes to these users. Returns the uids that are known at once to be out of reach.
    ///
    /// # Errors
    /// Nobody was named.
    pub fn push_message_by_uids(
        &self,
        app: &Rc<App>,
        users: Vec<Member>,
        message: &PushMessage,
        options: &PushOptions,
    ) -> Result<Vec<Uid>, CallError> {
        Ok(push(app, &named(users)?, message, options))
    }

    /// Pushes to these users, and waits until every frontend has said whom it did not find.
    ///
    /// # Errors
    /// Nobody was named.
    pub async fn push_message_by_uids_acknowledged(
        &self,
        app: &Rc<App>,
        users: Vec<Member>,
        message: &PushMessage,
        options: &PushOptions,
    ) -> Result<Vec<Uid>, CallError> {
        Ok(push_acknowledged(app, &named(users)?, message, options).await)
    }

    /// Pushes to every session of every server of a frontend type; with `binded` only to those with a uid.
    ///
    /// # Errors
    /// No server of that type could be reached.
    pub fn broadcast(
        &self,
        app: &Rc<App>,
        server_type: &str,
        message: &PushMessage,
        binded: bool,
    ) -> Result<(), CallError> {
        let mut last = Err(CallError::no_target(format!(
            "there is no frontend of type {server_type}"
        )));
        for server in app
            .cluster
            .servers_of(server_type)
            .filter(|server| server.frontend)
        {
            let content = Content::Broadcast {
                call: None,
                message: message.clone(),
                binded,
            };
            let sent = app.post.send(app, &server.id, content);
            if last.is_err() {
                last = sent;
            }
        }
        last
    }
}

fn alive(channel: &Channel) -> Result<Groups, CallError> {
    if channel.is_destroyed() {
        return Err(CallError::failed(format!(
            "channel {} is destroyed",
            channel.name()
        )));
    }
    Ok(channel.groups())
}

fn named(users: Vec<Member>) -> Result<Groups, CallError> {
    if users.is_empty() {
        return Err(CallError::failed("uids should not be empty"));
    }
    Ok(group(users.into_iter()))
}

/// Whether these are a channel's, which will be pushed to again, or were made for this push.
fn are_of_channel(groups: &Groups) -> bool {
    Rc::strong_count(groups) > 1
}

fn push(app: &Rc<App>, groups: &Groups, message: &PushMessage, options: &PushOptions) -> Vec<Uid> {
    let of_channel = are_of_channel(groups);
    let (mut unreached, mut lost) = (Vec::new(), None);
    let excluded = LazyCell::new(|| Excluded::new(&options.exclude));
    for (sid, recipients) in groups.iter() {
        if sid == app.id() {
            unreached.extend(deliver::push(
                app,
                message,
                recipients,
                &options.exclude,
                of_channel,
            ));
        } else if let Err(error) =
            app.post
                .send(app, sid, content(None, message, recipients, options, of_channel))
        {
            lost.get_or_insert((sid, error));
            unreached.extend(recipients.iter().filter(|uid| !excluded.contains(uid)).cloned());
        }
    }
    if let Some((sid, error)) = lost {
        not_sent!(error, "a push did not leave", route = %message.route, frontend = %sid);
    }
    unreached
}

async fn push_acknowledged(
    app: &Rc<App>,
    groups: &Groups,
    message: &PushMessage,
    options: &PushOptions,
) -> Vec<Uid> {
    let of_channel = are_of_channel(groups);
    let excluded = &LazyCell::new(|| Excluded::new(&options.exclude));
    let pushes = groups.iter().map(|(sid, recipients)| async move {
        if sid == app.id() {
            return deliver::push(app, message, recipients, &options.exclude, of_channel);
        }
        match rpc::ask(app, sid, |call| {
            content(Some(call), message, recipients, options, of_channel)
        })
        .await
        {
            Ok(Answer::Uids(uids)) => uids,
            // Nobody knows whom it reached; to the sender that is nobody.
            _ => recipients
                .iter()
                .filter(|uid| !excluded.contains(uid))
                .cloned()
                .collect(),
        }
    });
    join_all(pushes).await.concat()
}

fn content(
    call: Option<u64>,
    message: &PushMessage,
    recipients: &Arc<[Uid]>,
    options: &PushOptions,
    of_channel: bool,
) -> Content {
    Content::Push {
        call,
        message: message.clone(),
        recipients: recipients.clone(),
        of_channel,
        exclude: options.exclude.clone(),
    }
}
