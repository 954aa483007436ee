//! What answers routes, whatever language it is written in.
//!
//! Dispatch knows this trait and no implementation: `chathost-lua` brings scripts, `chathost-native` libraries. A
//! value of [`Handlers`] is one *generation* of one server's handlers; requests that began on it end on it.

mod generation;
mod listener;
mod manifest;
mod mixed;
mod staging;
mod swap;

pub use generation::{Generation, MethodStats, Serving};
pub use listener::{Event, Listener, ListenerFn};
pub use manifest::{Kind, Manifest, Method, MethodId};
pub use mixed::{Groups, MixedFactory};
pub(crate) use staging::Staging;
pub(crate) use swap::Gate;
#[doc(hidden)]
pub use swap::Prepared;

use crate::{
    app::App,
    error::{CallError, Reply},
    route::Route,
    session::BackendSession,
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use std::{cell::RefCell, fmt, rc::Rc, sync::Arc};

/// Where handlers come from: the files as they are now.
pub trait HandlerSource: Send + Sync + fmt::Debug {
    /// Reads what serves a server type, once for all its servers: what is built from it later is the same, whatever
    /// happens to the files.
    ///
    /// # Errors
    /// Nothing serves that type, or it cannot be read.
    fn read(&self, server_type: &str) -> Result<Arc<dyn HandlerFactory>, LoadError>;
}

/// What a generation is made of. Builds it on the thread of each server that will run it.
pub trait HandlerFactory: Send + Sync + fmt::Debug {
    /// Eight hexadecimal digits that change with any of the files it uses. Known once it was built.
    fn hash(&self) -> String;

    /// Loads it for this server and runs its top level. `number`: of the generation, for the log. What it asks of the
    /// server meanwhile goes through [`App::install`].
    ///
    /// # Errors
    /// Everything that keeps it from serving, each problem with file and line.
    fn build(&self, app: &Rc<App>, number: u64) -> Result<Rc<dyn Handlers>, LoadError>;
}

/// A generation of handlers that was refused.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct LoadError {
    /// One line each: file, line, cause, remedy.
    pub problems: Vec<String>,
}

/// A client's message, as a handler gets it.
#[derive(Debug)]
pub struct Request {
    /// Which handler, from [`Manifest::handler`].
    pub method: MethodId,
    /// The route as the client wrote it.
    pub route: Route,
    /// JSON, or what the client sent instead.
    pub body: Bytes,
    /// Whose message it is.
    pub session: Rc<BackendSession>,
    /// A notify is handled alike, but its answer goes nowhere.
    pub notify: bool,
}

/// One generation of one server's handlers.
///
/// Futures are polled on the server's thread only, and must not block it.
pub trait Handlers: fmt::Debug {
    /// What it answers.
    fn manifest(&self) -> &Manifest;

    /// Answers a client's message: filters, handler, error handler. Always resolves to an answer.
    fn handle(&self, request: Request) -> LocalBoxFuture<'static, Reply>;

    /// Answers another server: a remote's results as a JSON array.
    fn invoke(&self, method: MethodId, args: Bytes) -> LocalBoxFuture<'static, Result<Bytes, CallError>>;

    /// Whether there is a function of this name in that module. Asked where several parts serve one type.
    fn knows(&self, _module: &str, _function: &str) -> bool {
        false
    }

    /// Calls a named function of a module: what `session:on("closed", "onUserLeave")` means when it fires.
    fn notice(
        &self,
        module: &str,
        function: &str,
        session: Rc<BackendSession>,
        reason: &str,
    ) -> LocalBoxFuture<'static, ()>;

    /// Tests itself before it may serve; cannot wait.
    ///
    /// # Errors
    /// Why it should not serve.
    fn selftest(&self) -> Result<(), LoadError> {
        Ok(())
    }

    /// What the next generation should know, as JSON; `None` if it has nothing to say.
    ///
    /// # Errors
    /// It has, and failed to.
    fn export_state(&self) -> Result<Option<Bytes>, LoadError> {
        Ok(None)
    }

    /// Takes what the generation before exported. Who does not want it ignores it.
    ///
    /// # Errors
    /// It cannot use it, and should not serve.
    fn import_state(&self, _state: Bytes) -> Result<(), LoadError> {
        Ok(())
    }

    /// Another generation serves from now on. What runs may end; what repeats itself stops.
    fn retire(&self) {}

    /// What it still has to do though no call runs: timers that are set.
    fn pending(&self) -> usize {
        0
    }

    /// Nothing of it may run any more.
    fn end(&self) {}

    /// Bytes of memory that it uses and may use, where that is known.
    fn memory(&self) -> Option<(usize, usize)> {
        None
    }

    /// Whether `app.lua` added global filters. Asked for every message.
    fn has_global_filters(&self) -> bool {
        false
    }

    /// The global filters in front of every message: the body to go on with, or the answer that ends it here.
    fn global_before(&self, request: GlobalRequest) -> LocalBoxFuture<'static, Result<Bytes, Reply>> {
        Box::pin(async move { Ok(request.body) })
    }

    /// The global filters behind an answer that was sent. They cannot change it.
    fn global_after(&self, _request: GlobalRequest, _reply: Reply) -> LocalBoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// A message as global filters see it, on the frontend, before it is known who answers.
#[derive(Debug, Clone)]
pub struct GlobalRequest {
    /// The route as the client wrote it.
    pub route: Route,
    /// JSON, or what the client sent instead.
    pub body: Bytes,
    /// Whose message it is.
    pub session: Rc<BackendSession>,
}

/// Decides whether a client of this type and version may connect: `checkClient(type, version)`.
pub type CheckClient = Rc<dyn Fn(&Value, &Value) -> LocalBoxFuture<'static, Result<bool, CallError>>>;

/// Sees the whole handshake request and answers what becomes `user` in the response: `handshake(msg)`.
pub type UserHandshake =
    Rc<dyn Fn(&Value, &str) -> LocalBoxFuture<'static, Result<Option<Bytes>, CallError>>>;

/// Functions of `app.lua` that the connector calls. Registered while handlers load, so they belong to a generation.
#[derive(Default)]
pub struct Hooks {
    /// Refuses clients: code 501.
    pub check_client: RefCell<Option<CheckClient>>,
    /// Answers the handshake's `user`; an error is code 500.
    pub handshake: RefCell<Option<UserHandshake>>,
}

impl Hooks {
    pub(crate) fn clear(&self) {
        self.check_client.take();
        self.handshake.take();
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("check_client", &self.check_client.borrow().is_some())
            .field("handshake", &self.handshake.borrow().is_some())
            .finish()
    }
}
