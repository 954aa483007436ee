//! Which server of a type gets a call.
//!
//! Pomelo's `app.route`. The default hashes the session's uid; `app.lua` replaces it per type with a function, or with
//! the name of the session setting whose value is hashed, which keeps everybody of one room on one server without
//! running a script for each message.

use crate::{
    app::App,
    config::ServerInfo,
    envelope::ServerId,
    error::CallError,
    hash,
    map::Map,
    session::{BackendSession, Snapshot},
};
use serde_json::Value;
use std::{borrow::Cow, cell::RefCell, fmt, rc::Rc, sync::Arc};

/// What a caller gives to choose by: a session, or any value.
#[derive(Debug, Clone)]
pub enum RouteParam {
    /// The session on whose behalf the call is made.
    Session(Rc<BackendSession>),
    /// Anything else: a room's name, a number.
    Value(Value),
}

/// Chooses a server: returns its id.
pub type RouteFn = Rc<dyn Fn(&RouteParam) -> Result<ServerId, CallError>>;

#[derive(Clone)]
enum Policy {
    Function(RouteFn),
    Setting(Rc<str>),
}

/// The rules, per server type.
#[derive(Default)]
pub struct Router {
    policies: RefCell<Map<Box<str>, Policy>>,
}

impl Router {
    /// Calls to this type go where the function says.
    pub fn set_function(&self, server_type: &str, function: RouteFn) {
        self.policies
            .borrow_mut()
            .insert(server_type.into(), Policy::Function(function));
    }

    /// Calls to this type go where the hash of this session setting says. A parameter that is not a session is hashed
    /// itself.
    pub fn set_setting(&self, server_type: &str, key: &str) {
        self.policies
            .borrow_mut()
            .insert(server_type.into(), Policy::Setting(key.into()));
    }

    /// Back to the default.
    pub fn clear(&self) {
        self.policies.borrow_mut().clear();
    }

    /// The server of this type that gets the call.
    ///
    /// # Errors
    /// No such server, none that takes calls, or the rule failed.
    pub fn pick(&self, app: &App, server_type: &str, param: &RouteParam) -> Result<ServerId, CallError> {
        match (self.policy(server_type), param) {
            (Some(Policy::Function(function)), _) => named(app, server_type, function(param)?),
            (policy, RouteParam::Session(session)) => {
                by_session(app, server_type, policy.as_ref(), &session.export())
            }
            (_, RouteParam::Value(value)) => by_key(app, server_type, &text(value)),
        }
    }

    /// The same for a client's message: only a function needs the session as handlers see it.
    pub(crate) fn pick_for(
        &self,
        app: &App,
        server_type: &str,
        session: &Snapshot,
    ) -> Result<ServerId, CallError> {
        match self.policy(server_type) {
            Some(Policy::Function(function)) => {
                let param = RouteParam::Session(BackendSession::new(session));
                named(app, server_type, function(&param)?)
            }
            policy => by_session(app, server_type, policy.as_ref(), session),
        }
    }

    fn policy(&self, server_type: &str) -> Option<Policy> {
        self.policies.borrow().get(server_type).cloned()
    }
}

/// A frontend without a port takes no calls, whoever names it.
fn named(app: &App, server_type: &str, id: ServerId) -> Result<ServerId, CallError> {
    if callable(app, server_type).any(|server| server.id == id) {
        return Ok(id);
    }
    Err(CallError::no_target(format!(
        "app:route(\"{server_type}\") chose {id}, which is no {server_type} server that takes calls"
    )))
}

fn by_session(
    app: &App,
    server_type: &str,
    policy: Option<&Policy>,
    session: &Snapshot,
) -> Result<ServerId, CallError> {
    let Some(Policy::Setting(key)) = policy else {
        return by_key(app, server_type, session.uid.as_deref().unwrap_or_default());
    };
    let Some(value) = session.settings.get(key) else {
        return Err(CallError::no_target(format!(
            "the session has no setting {key} to choose a {server_type} server by"
        )));
    };
    by_key(app, server_type, &text(value))
}

fn by_key(app: &App, server_type: &str, key: &str) -> Result<ServerId, CallError> {
    hash::place(key, callable(app, server_type).count())
        .and_then(|place| callable(app, server_type).nth(place))
        .map(|server| server.id.clone())
        .ok_or_else(|| CallError::no_target(format!("can not find server info for type:{server_type}")))
}

/// The servers of a type that take calls: those with a port.
pub(crate) fn callable<'a>(app: &'a App, server_type: &'a str) -> impl Iterator<Item = &'a Arc<ServerInfo>> {
    app.cluster
        .servers_of(server_type)
        .filter(|server| server.port.is_some())
}

/// A value as JavaScript would turn it into text.
fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        Value::Null => "".into(),
        other => other.to_string().into(),
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.policies.borrow().keys()).finish()
    }
}
