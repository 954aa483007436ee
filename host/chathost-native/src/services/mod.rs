//! What a plugin can do on its server: `ask`, by name, and pushing and calling, which are hot and have functions of
//! their own. Names and meanings are Pomelo's, as in Lua; `plugins/README.md` lists them.

mod app;
mod args;
mod channel;
mod rpc;
mod session;

use crate::instance::{Instance, finish, tell};
use args::Args;
use chathost_abi::{CODE_BAD_REQUEST, CODE_GONE, CODE_NOT_FOUND, Done};
use chathost_core::error::CallError;
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use std::rc::Rc;

/// What comes of a question: JSON, or nothing.
type Told = Result<Vec<u8>, CallError>;

/// How a question is answered.
enum Answer {
    Now(Told),
    Later(LocalBoxFuture<'static, Told>),
}

impl Instance {
    /// Does something by name.
    pub(crate) fn ask(self: &Rc<Self>, session: u64, name: &str, args: &[u8], done: Done) {
        if self.has_ended() {
            return finish(done, CODE_GONE, b"the instance is being destroyed");
        }
        let args = match Args::read(name, args) {
            Ok(args) => args,
            Err(error) => return tell(done, Err(error)),
        };
        let (service, function) = name.split_once('.').unwrap_or((name, ""));
        let answer = match service {
            "app" => app::ask(self, function, &args).map(Answer::Now),
            "channel" | "channelService" => channel::ask(self, name, &args).map(Answer::Now),
            "session" => session::own(self, session, function, &args),
            "sessionService" => session::here(self, function, &args).map(Answer::Now),
            "backendSessionService" => session::anywhere(self, function, &args),
            _ => None,
        };
        match answer {
            Some(Answer::Now(told)) => tell(done, told),
            Some(Answer::Later(told)) => self.later(done, told),
            None => tell(done, Err(unknown(name))),
        }
    }
}

fn unknown(name: &str) -> CallError {
    CallError::new(
        CODE_NOT_FOUND,
        format!("this host has no function {name}; plugins/README.md lists all"),
    )
}

fn bad(message: String) -> CallError {
    CallError::new(CODE_BAD_REQUEST, message)
}

/// A value as JSON.
fn json(value: impl Serialize) -> Told {
    serde_json::to_vec(&value).map_err(|error| CallError::failed(error.to_string()))
}

/// Nothing to say.
fn nothing() -> Told {
    Ok(Vec::new())
}
