//! What the server in memory owns: sessions, channels, values, timers.

use super::{Pushed, table::is};
use crate::error::{Error, Result};
use chathost_abi::Kind;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

type Remote = Box<dyn Fn(&Value) -> Result<Value>>;

pub(super) struct World {
    pub(super) server_type: String,
    /// Kind, name, number.
    pub(super) declared: Vec<(u32, String, u32)>,
    pub(super) values: HashMap<String, Value>,
    pub(super) sessions: BTreeMap<u64, Session>,
    /// Sessions in the plugin's hands, by handle.
    pub(super) views: HashMap<u64, View>,
    pub(super) channels: BTreeMap<String, Channel>,
    pub(super) pushed: Vec<Pushed>,
    pub(super) remotes: HashMap<String, Remote>,
    pub(super) now: Duration,
    timers: BTreeMap<u64, Timer>,
    last: u64,
}

/// A session as its frontend has it.
#[derive(Default)]
pub(super) struct Session {
    pub(super) frontend_id: String,
    pub(super) uid: String,
    pub(super) settings: Map<String, Value>,
    /// Event, listener.
    pub(super) listeners: Vec<(String, String)>,
}

/// A copy of a session.
#[derive(Clone, Default)]
pub(super) struct View {
    pub(super) sid: u64,
    pub(super) settings: Map<String, Value>,
}

#[derive(Default)]
pub(super) struct Channel {
    /// Uid, frontend.
    pub(super) members: Vec<(String, String)>,
    pub(super) values: Map<String, Value>,
}

struct Timer {
    at: Duration,
    every: Option<Duration>,
    token: u64,
}

impl World {
    pub(super) fn new(server_type: &str) -> Self {
        Self {
            server_type: server_type.to_owned(),
            declared: Vec::new(),
            values: HashMap::new(),
            sessions: BTreeMap::new(),
            views: HashMap::new(),
            channels: BTreeMap::new(),
            pushed: Vec::new(),
            remotes: HashMap::new(),
            now: Duration::ZERO,
            timers: BTreeMap::new(),
            last: 0,
        }
    }

    /// A number that was not used before.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn method(&self, kind: Kind, name: &str) -> Option<u32> {
        let found = |(of, known, _): &&(u32, String, u32)| is(kind, *of) && known == name;
        Some(self.declared.iter().find(found)?.2)
    }

    pub(super) fn connect(&mut self, uid: &str, frontend_id: &str) -> u64 {
        let sid = self.number();
        let session = Session {
            frontend_id: frontend_id.to_owned(),
            uid: uid.to_owned(),
            ..Session::default()
        };
        self.sessions.insert(sid, session);
        sid
    }

    /// Returns who listens.
    pub(super) fn close(&mut self, sid: u64) -> Vec<String> {
        // What is gone is still seen by those who hear of it.
        let listeners = self
            .sessions
            .get_mut(&sid)
            .map(|session| std::mem::take(&mut session.listeners));
        let closed = |(event, name): (String, String)| (event == "closed").then_some(name);
        listeners.into_iter().flatten().filter_map(closed).collect()
    }

    pub(super) fn write(&mut self, sid: u64, key: &str, value: Value) {
        if let Some(session) = self.sessions.get_mut(&sid) {
            session.settings.insert(key.to_owned(), value);
        }
    }

    pub(super) fn setting(&self, sid: u64, key: &str) -> Value {
        let session = self.sessions.get(&sid);
        session
            .and_then(|session| session.settings.get(key))
            .cloned()
            .unwrap_or_default()
    }

    /// A handle for a session; 0 if there is none.
    pub(super) fn view(&mut self, sid: u64) -> u64 {
        let Some(session) = self.sessions.get(&sid) else {
            return 0;
        };
        let settings = session.settings.clone();
        let handle = self.number();
        self.views.insert(handle, View { sid, settings });
        handle
    }

    pub(super) fn hold(&mut self, handle: u64) -> u64 {
        let Some(view) = self.views.get(&handle).cloned() else {
            return 0;
        };
        let handle = self.number();
        self.views.insert(handle, view);
        handle
    }

    pub(super) fn release(&mut self, handle: u64) {
        self.views.remove(&handle);
    }

    pub(super) fn uid(&self, handle: u64) -> Option<String> {
        let view = self.views.get(&handle)?;
        Some(
            self.sessions
                .get(&view.sid)
                .map(|session| session.uid.clone())
                .unwrap_or_default(),
        )
    }

    pub(super) fn members(&self, channel: &str) -> Vec<String> {
        let channel = self.channels.get(channel);
        channel
            .map(|channel| channel.members.iter().map(|(uid, _)| uid.clone()).collect())
            .unwrap_or_default()
    }

    pub(super) fn add(&mut self, channel: &str, uid: &str, sid: &str) {
        let members = &mut self.channels.entry(channel.to_owned()).or_default().members;
        let member = (uid.to_owned(), sid.to_owned());
        if !members.contains(&member) {
            members.push(member);
        }
    }

    pub(super) fn push(
        &mut self,
        route: &str,
        body: &[u8],
        channel: &str,
        users: &[u8],
        broadcast: &str,
        exclude: &[u8],
    ) -> Result<()> {
        let exclude: Vec<String> = serde_json::from_slice(exclude).unwrap_or_default();
        let mut to = if !channel.is_empty() {
            if !self.channels.contains_key(channel) {
                return Err(Error::host(500, format!("there is no channel {channel}")));
            }
            self.members(channel)
        } else if !users.is_empty() {
            let users: Vec<crate::Member> = serde_json::from_slice(users)?;
            if users.is_empty() {
                return Err(Error::host(500, "uids should not be empty".to_owned()));
            }
            users.into_iter().map(|user| user.uid).collect()
        } else {
            vec![format!("*{broadcast}")]
        };
        to.retain(|uid| !exclude.contains(uid));
        self.pushed.push(Pushed {
            route: route.to_owned(),
            body: serde_json::from_slice(body)?,
            to,
        });
        Ok(())
    }

    pub(super) fn call(&self, method: &str, args: &Value) -> Result<Value> {
        match self.remotes.get(method) {
            Some(remote) => remote(args),
            None => Err(Error::host(
                502,
                format!("the test has no on_rpc(\"{method}\", …)"),
            )),
        }
    }

    pub(super) fn set_timer(&mut self, milliseconds: u64, repeat: bool, token: u64) -> u64 {
        let after = Duration::from_millis(milliseconds.max(1));
        let timer = Timer {
            at: self.now + after,
            every: repeat.then_some(after),
            token,
        };
        let number = self.number();
        self.timers.insert(number, timer);
        number
    }

    pub(super) fn cancel(&mut self, timer: u64) {
        self.timers.remove(&timer);
    }

    /// The token of the next timer, of which the time has come; without a limit, of the next one that does not repeat.
    pub(super) fn fire(&mut self, until: Option<Duration>) -> Option<u64> {
        let due = |timer: &Timer| match until {
            Some(until) => timer.at <= until,
            None => timer.every.is_none(),
        };
        let next = self
            .timers
            .iter()
            .filter(|(_, timer)| due(timer))
            .min_by_key(|(_, timer)| timer.at);
        let (number, token, at, every) =
            next.map(|(number, timer)| (*number, timer.token, timer.at, timer.every))?;
        self.now = self.now.max(at);
        match (every, self.timers.get_mut(&number)) {
            (Some(every), Some(timer)) => timer.at += every,
            _ => drop(self.timers.remove(&number)),
        }
        Some(token)
    }
}
