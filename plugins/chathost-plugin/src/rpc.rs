//! Calling the remotes of other servers.

use crate::{
    app::App,
    error::{Error, Result},
    filter::{Filters, RpcCall, RpcFilters},
    host::{header_of, lend},
    session::Session,
};
use serde::{Serialize, de::DeserializeOwned};
use std::cell::RefCell;

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
        let results = self.filtered(method, &args).await?;
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
        if self.filters().before.is_empty() && self.filters().after.is_empty() {
            self.app.host().rpc_notify(&self.raw(method, &args));
            return Ok(());
        }
        let (own, method) = (self.clone(), method.to_owned());
        self.app.spawn(async move {
            let (filters, mut call) = (own.filters(), own.described(&method));
            match filters.in_front(&own.app, &mut call).await {
                Ok(()) => own.app.host().rpc_notify(&own.sent_to(&call).raw(&method, &args)),
                Err(error) => own.app.error(format!("a filter refused {method}: {error}")),
            }
            filters.behind(&own.app, &call).await;
        });
        Ok(())
    }

    /// Calls, with this plugin's filters around it.
    async fn filtered(&self, method: &str, args: &[u8]) -> Result<Vec<u8>> {
        let filters = self.filters();
        if filters.before.is_empty() && filters.after.is_empty() {
            return self.app.host().rpc(&self.raw(method, args)).await;
        }
        let mut call = self.described(method);
        filters.in_front(&self.app, &mut call).await?;
        let to = self.sent_to(&call);
        let results = self.app.host().rpc(&to.raw(method, args)).await;
        filters.behind(&self.app, &call).await;
        results
    }

    fn filters(&self) -> RpcFilters {
        self.app.local::<RefCell<Filters>>().borrow().rpc.clone()
    }

    fn described(&self, method: &str) -> RpcCall {
        RpcCall {
            server_type: self.server_type.clone(),
            server_id: Some(self.server_id.clone()).filter(|id| !id.is_empty()),
            method: method.to_owned(),
        }
    }

    fn sent_to(&self, call: &RpcCall) -> Self {
        self.clone().to(call.server_id.as_deref().unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use crate::{App, Error, Plugin, Result, Session, test::Host};

    async fn ask(app: App, _: (), _: Session) -> Result<i64> {
        app.rpc("room").by("r").call("roomRemote.count", &()).await
    }

    #[test]
    fn filters() {
        let host = Host::new("chat", |plugin: &mut Plugin| {
            plugin.handler("chatHandler.ask", |app, (): (), session| ask(app, (), session));
            plugin.rpc_before(|app, call| async move {
                assert_eq!(
                    (call.server_type.as_str(), call.method.as_str()),
                    ("room", "roomRemote.count")
                );
                assert_eq!(call.server_id, None);
                if app.get::<bool>("closed").unwrap_or_default() {
                    return Err(Error::new(423, "closed"));
                }
                Ok(Some("room-2".to_owned()))
            });
            plugin.rpc_after(|app, call| async move {
                app.set("after", &call.server_id);
                Ok(())
            });
            Ok(())
        });
        host.on_rpc("room.roomRemote.count", |_| Ok(3.into()));
        let client = host.session("alice", "connector-1");
        assert_eq!(host.request("chatHandler.ask", &client, "null").unwrap(), "3");
        assert_eq!(host.value("after"), "room-2");
    }
}
