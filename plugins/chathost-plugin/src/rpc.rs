//! Calling the remotes of other servers.

use crate::{
    app::App,
    error::{Error, Result},
    host::{header_of, lend},
    session::Session,
};
use serde::{Serialize, de::DeserializeOwned};

/// The servers of a type, to call their remotes: `app.rpc("chat").of(&session).call("chatRemote.add", &(uid, …))`.
#[derive(Debug, Clone)]
#[must_use = "nothing is called until `call` or `notify`"]
pub struct Rpc {
    app: App,
    server_type: String,
    server_id: String,
    session: Option<Session>,
    param: Vec<u8>,
}

impl Rpc {
    pub(crate) fn new(app: &App, server_type: &str) -> Self {
        Self {
            app: app.clone(),
            server_type: server_type.to_owned(),
            server_id: String::new(),
            session: None,
            param: Vec::new(),
        }
    }

    /// The server that this session's messages go to.
    pub fn of(mut self, session: &Session) -> Self {
        self.session = Some(session.clone());
        self
    }

    /// The server that this value is routed to: a room's name, say.
    pub fn by(mut self, param: &(impl Serialize + ?Sized)) -> Self {
        // What has no JSON routes as null does.
        self.param = serde_json::to_vec(param).unwrap_or_default();
        self
    }

    /// The server with this id.
    pub fn to(mut self, server_id: &str) -> Self {
        self.server_id = server_id.to_owned();
        self
    }

    /// Calls a remote, `chatRemote.add`, with a tuple of arguments, and waits for its result. What a remote returns none
    /// of is read as null.
    ///
    /// # Errors
    /// What the remote raised, why nothing came back, or that the result is of another type.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, args: &impl Serialize) -> Result<T> {
        let args = arguments(args)?;
        let results = self.app.host().rpc(&self.raw(method, &args)).await?;
        let results: Vec<serde_json::Value> = serde_json::from_slice(&results)?;
        let first = results.into_iter().next().unwrap_or_default();
        serde_json::from_value(first).map_err(Error::from)
    }

    /// Calls a remote and forgets it.
    ///
    /// # Errors
    /// An argument has no JSON.
    pub fn notify(&self, method: &str, args: &impl Serialize) -> Result<()> {
        let args = arguments(args)?;
        self.app.host().rpc_notify(&self.raw(method, &args));
        Ok(())
    }

    fn raw(&self, method: &str, args: &[u8]) -> chathost_abi::Rpc {
        chathost_abi::Rpc {
            header: header_of::<chathost_abi::Rpc>(),
            server_type: lend(self.server_type.as_bytes()),
            method: lend(method.as_bytes()),
            args: lend(args),
            server_id: lend(self.server_id.as_bytes()),
            session: self.session.as_ref().map_or(0, Session::handle),
            param: lend(&self.param),
        }
    }
}

/// A tuple is an array; `()` is null, and no arguments.
fn arguments(args: &impl Serialize) -> Result<Vec<u8>> {
    let args = serde_json::to_vec(args)?;
    match args.first() {
        Some(b'[') => Ok(args),
        _ if args == b"null" => Ok(b"[]".to_vec()),
        _ => Err(Error::internal(
            "the arguments of a call are a tuple: (uid, room)",
        )),
    }
}
