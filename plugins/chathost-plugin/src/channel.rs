//! Channels, and pushing.

use crate::{
    app::{App, read},
    error::Result,
    host::{HostRef, header_of, lend},
};
use chathost_abi::{PUSH_ACKNOWLEDGED, PUSH_BINDED};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A named set of users of this server.
///
/// It goes by its name, and is whatever channel has that name at the time. One that is not there has no members; adding
/// the first one makes it.
#[derive(Debug, Clone)]
pub struct Channel {
    app: App,
    name: String,
}

/// A user in a channel, or one to push to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Whom the session is bound to.
    pub uid: String,
    /// The frontend that the session lives on.
    pub sid: String,
}

impl Channel {
    pub(crate) fn new(app: &App, name: String) -> Self {
        Self {
            app: app.clone(),
            name,
        }
    }

    /// The name it is found by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is a channel of this name.
    pub fn exists(&self) -> bool {
        self.ask("channelService.getChannel", &(&self.name,))
            .unwrap_or_default()
    }

    /// Pushes to every member.
    ///
    /// # Errors
    /// There is no channel of this name; the message has no JSON.
    pub fn push_message(&self, route: &str, msg: &(impl Serialize + ?Sized)) -> Result<()> {
        self.push().send(route, msg)
    }

    /// A push that leaves some out, or waits until it is known whom it reached.
    pub fn push(&self) -> Push<'_> {
        Push {
            channel: &self.name,
            ..Push::new(&self.app)
        }
    }

    /// Adds a user who is connected to the frontend `sid`. Once in, again in changes nothing.
    pub fn add(&self, uid: &str, sid: &str) -> bool {
        self.ask("channel.add", &(&self.name, uid, sid))
            .unwrap_or_default()
    }

    /// Takes a user out; false if the user was not in. The channel is freed with its last member.
    pub fn leave(&self, uid: &str, sid: &str) -> bool {
        self.ask("channel.leave", &(&self.name, uid, sid))
            .unwrap_or_default()
    }

    /// The uids in it, in the order of joining.
    pub fn members(&self) -> Vec<String> {
        self.ask("channel.getMembers", &(&self.name,)).unwrap_or_default()
    }

    /// The member with this uid.
    pub fn member(&self, uid: &str) -> Option<Member> {
        self.ask("channel.getMember", &(&self.name, uid))
    }

    /// The number of uids in it.
    pub fn user_amount(&self) -> usize {
        self.ask("channel.getUserAmount", &(&self.name,))
            .unwrap_or_default()
    }

    /// What is kept in the channel under a key.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.ask("channel.get", &(&self.name, key))
    }

    /// Keeps a JSON value in the channel; null forgets it. Gone with the channel.
    pub fn set(&self, key: &str, value: &(impl Serialize + ?Sized)) {
        self.app.tell("channel.set", &(&self.name, key, value));
    }

    /// Ends the channel: everybody is out.
    pub fn destroy(self) {
        self.app.tell("channelService.destroyChannel", &(&self.name,));
    }

    fn ask<T: DeserializeOwned>(&self, name: &str, args: &impl Serialize) -> Option<T> {
        self.app.ask_now(name, args).ok().flatten()
    }
}

/// A push that was not sent yet.
#[derive(Debug)]
#[must_use = "nothing is pushed until `send`"]
pub struct Push<'a> {
    app: &'a App,
    channel: &'a str,
    users: &'a [Member],
    broadcast: &'a str,
    exclude: &'a [&'a str],
    flags: u32,
}

impl<'a> Push<'a> {
    fn new(app: &'a App) -> Self {
        Self {
            app,
            channel: "",
            users: &[],
            broadcast: "",
            exclude: &[],
            flags: 0,
        }
    }

    /// To these users, wherever they are.
    pub fn to_users(app: &'a App, users: &'a [Member]) -> Self {
        Self {
            users,
            ..Self::new(app)
        }
    }

    /// To every session of the frontends of this type.
    pub fn broadcast(app: &'a App, server_type: &'a str) -> Self {
        Self {
            broadcast: server_type,
            ..Self::new(app)
        }
    }

    /// Not to these uids.
    pub fn exclude(mut self, uids: &'a [&'a str]) -> Self {
        self.exclude = uids;
        self
    }

    /// With `broadcast`: only to sessions that are bound.
    pub fn binded(mut self) -> Self {
        self.flags |= PUSH_BINDED;
        self
    }

    /// Pushes.
    ///
    /// # Errors
    /// There is no such channel, nobody was named, or the message has no JSON.
    pub fn send(self, route: &str, msg: &(impl Serialize + ?Sized)) -> Result<()> {
        self.begin(route, msg, HostRef::push)?
    }

    /// Pushes, and waits until every frontend has said whom it did not find. Returns the uids that were not reached.
    ///
    /// # Errors
    /// As `send`.
    pub async fn acknowledged(mut self, route: &str, msg: &(impl Serialize + ?Sized)) -> Result<Vec<String>> {
        self.flags |= PUSH_ACKNOWLEDGED;
        let unreached = self.begin(route, msg, HostRef::push_acknowledged)?.await?;
        Ok(read(&unreached)?.unwrap_or_default())
    }

    fn begin<R>(
        &self,
        route: &str,
        msg: &(impl Serialize + ?Sized),
        push: impl FnOnce(HostRef, &chathost_abi::Push) -> R,
    ) -> Result<R> {
        let body = serde_json::to_vec(msg)?;
        let json = |list: &dyn Fn() -> serde_json::Result<Vec<u8>>, used: bool| match used {
            true => list(),
            false => Ok(Vec::new()),
        };
        // No channel and no frontend is everybody of no list, which the host refuses.
        let to_users = self.channel.is_empty() && self.broadcast.is_empty();
        let users = json(&|| serde_json::to_vec(self.users), to_users)?;
        let exclude = json(&|| serde_json::to_vec(self.exclude), !self.exclude.is_empty())?;
        let raw = chathost_abi::Push {
            header: header_of::<chathost_abi::Push>(),
            route: lend(route.as_bytes()),
            body: lend(&body),
            channel: lend(self.channel.as_bytes()),
            users: lend(&users),
            broadcast: lend(self.broadcast.as_bytes()),
            exclude: lend(&exclude),
            flags: self.flags,
        };
        Ok(push(self.app.host(), &raw))
    }
}
