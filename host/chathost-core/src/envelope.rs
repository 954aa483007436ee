//! What one server sends another: data, never a closure, so that a transport between machines can carry it.
//!
//! Not the clients' wire (that is `pomelo-protocol`) and not the queue ([`crate::post`]). [`crate::remote`] reads them.

use crate::{
    error::{CallError, Reply},
    route::Route,
    session::{Settings, Snapshot},
};
use bytes::Bytes;
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Numbers a call within the server that makes it.
pub type CallId = u64;

/// A server's id, as in `servers.json`.
pub type ServerId = Arc<str>;

/// A user's id. Numbers become their decimal text, as a JavaScript object key does.
pub type Uid = Arc<str>;

/// What one turn of a server's loop produced for one receiver.
#[derive(Debug)]
pub struct Envelope {
    /// Who sent it, and gets the answers.
    pub from: ServerId,
    /// In the order in which it was said.
    pub contents: Vec<Content>,
    /// Given back when the receiver has seen to it.
    pub(crate) load: Load,
}

/// Bytes that are on the way to a server, until this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) bytes: usize,
    on_the_way: Arc<AtomicUsize>,
}

impl Load {
    pub(crate) fn new(on_the_way: &Arc<AtomicUsize>, bytes: usize) -> Self {
        on_the_way.fetch_add(bytes, Ordering::Relaxed);
        Self {
            bytes,
            on_the_way: on_the_way.clone(),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.on_the_way.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One message from server to server. `call: None` wants no answer.
#[derive(Debug)]
pub enum Content {
    /// A client's message for a handler of the receiver (Pomelo: `sys.msgRemote.forwardMessage`).
    Forward {
        /// `None` for a notify.
        call: Option<CallId>,
        /// The client's session as it was when the message left the frontend.
        session: Arc<Snapshot>,
        /// The handler's route.
        route: Route,
        /// JSON.
        body: Bytes,
    },
    /// A call of a remote (Pomelo: `app.rpc.<type>.<group>.<method>`).
    Call {
        /// `None` for `.notify`.
        call: Option<CallId>,
        /// `chatRemote.add`.
        method: Arc<str>,
        /// A JSON array.
        args: Bytes,
    },
    /// A message for users of the receiver (Pomelo: `sys.channelRemote.pushMessage`).
    Push {
        /// Set when the sender wants the list of uids that were not reached.
        call: Option<CallId>,
        /// What to push.
        message: PushMessage,
        /// To whom.
        recipients: Arc<[Uid]>,
        /// They are a channel's: the same list will come again.
        of_channel: bool,
        /// Who is left out all the same. Usually empty.
        exclude: Arc<[Uid]>,
    },
    /// A message for every session of the receiver (Pomelo: `sys.channelRemote.broadcast`).
    Broadcast {
        /// Set when the sender waits until it is done.
        call: Option<CallId>,
        /// What to push.
        message: PushMessage,
        /// Only sessions with a uid.
        binded: bool,
    },
    /// A wish about the receiver's part of a global channel.
    Global {
        /// Set when the sender waits.
        call: Option<CallId>,
        /// Which channel.
        name: Arc<str>,
        /// What.
        op: GlobalOp,
    },
    /// A wish about a session that lives on the receiver (Pomelo: `sys.sessionRemote.*`).
    Session {
        /// Set when the sender waits.
        call: Option<CallId>,
        /// Which.
        target: SessionTarget,
        /// What.
        op: SessionOp,
    },
    /// The answer to any of the above.
    Answer {
        /// The number the caller gave it.
        call: CallId,
        /// The outcome.
        answer: Result<Answer, CallError>,
    },
}

impl Content {
    /// The text that a script or a client put into it. Answers are none: as many as calls wait are on the way at most, and
    /// refusing one would leave its caller waiting.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Forward { body, .. } => body.len(),
            Self::Call { args, .. } => args.len(),
            Self::Push { message, .. }
            | Self::Broadcast { message, .. }
            | Self::Global {
                op: GlobalOp::Push(message),
                ..
            } => message.body.len(),
            Self::Global { .. } | Self::Session { .. } | Self::Answer { .. } => 0,
        }
    }

    /// Nobody waits for an answer to it.
    pub(crate) fn is_notify(&self) -> bool {
        matches!(
            self,
            Self::Forward { call: None, .. } | Self::Call { call: None, .. }
        )
    }
}

/// A push: one route, one body, encoded once for everybody it goes to.
#[derive(Debug, Clone)]
pub struct PushMessage {
    /// `onChat`.
    pub route: Arc<str>,
    /// JSON.
    pub body: Bytes,
}

/// What can be asked of a global channel.
#[derive(Debug, Clone)]
pub enum GlobalOp {
    /// A user of the receiver is in.
    Add(Uid),
    /// And out.
    Leave(Uid),
    /// Who of the receiver's users is in.
    Members,
    /// Push to them.
    Push(PushMessage),
    /// The channel ends.
    Destroy,
}

/// Names sessions of the receiver.
#[derive(Debug, Clone)]
pub enum SessionTarget {
    /// The session with this id.
    Sid(u64),
    /// Every session bound to this uid.
    Uid(Uid),
}

/// What can be asked of a session from elsewhere.
#[derive(Debug, Clone)]
pub enum SessionOp {
    /// The snapshots of the target.
    Get,
    /// Bind to a uid.
    Bind(Uid),
    /// Take the uid away; it must match.
    Unbind(Uid),
    /// Write one setting.
    Push(String, Value),
    /// Write these settings.
    PushAll(Arc<Settings>),
    /// Send the kick package with this reason and close.
    Kick(Option<String>),
}

/// What comes back.
#[derive(Debug)]
pub enum Answer {
    /// Nothing but the fact.
    Done,
    /// What a handler answered the client.
    Reply(Reply),
    /// The results of a remote: a JSON array.
    Results(Bytes),
    /// The uids that a push did not reach, or that were asked for.
    Uids(Vec<Uid>),
    /// The sessions asked for.
    Sessions(Vec<Arc<Snapshot>>),
}
