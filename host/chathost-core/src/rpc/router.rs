//! Which server of a type gets a call.
//!
//! Pomelo's `app.route`. The default hashes the session's uid; `app.lua` replaces it per type with a function, or with
//! the name of the session setting whose value is hashed, which keeps everybody of one room on one server without
//! running a script for each message.

use crate::{
    app::App, config::ServerInfo, envelope::ServerId, error::CallError, hash, map::Map,
    session::BackendSession,
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
    pub fn pick(&self, app: &Rc<App>, server_type: &str, param: &RouteParam) -> Result<ServerId, CallError> {
        let policy = self.policies.borrow().get(server_type).cloned();
        let servers = callable(app, server_type);
        let none = || CallError::no_target(format!("can not find server info for type:{server_type}"));
        let key: Cow<'_, str> = match (&policy, param) {
            (Some(Policy::Function(function)), _) => {
                let id = function(param)?;
                // A frontend without a port takes no calls, whoever names it.
                let known = callable(app, server_type).any(|server| server.id == id);
                return if known {
                    Ok(id)
                } else {
                    Err(CallError::no_target(format!(
                        "app:route(\"{server_type}\") chose {id}, which is no {server_type} server that takes calls"
                    )))
                };
            }
            (Some(Policy::Setting(key)), RouteParam::Session(session)) => session
                .with(key, |value| value.map(text))
                .ok_or_else(|| {
                    CallError::no_target(format!(
                        "the session has no setting {key} to choose a {server_type} server by"
                    ))
                })?
                .into(),
            (None, RouteParam::Session(session)) => session
                .uid()
                .map(|uid| uid.to_string())
                .unwrap_or_default()
                .into(),
            (_, RouteParam::Value(value)) => text(value).into(),
        };
        let servers: Vec<&Arc<ServerInfo>> = servers.collect();
        let place = hash::place(&key, servers.len()).ok_or_else(none)?;
        Ok(servers[place].id.clone())
    }
}

/// The servers of a type that take calls: those with a port.
pub(crate) fn callable<'a>(app: &'a App, server_type: &'a str) -> impl Iterator<Item = &'a Arc<ServerInfo>> {
    app.cluster
        .servers_of(server_type)
        .filter(|server| server.port.is_some())
}

/// A value as JavaScript would turn it into text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.policies.borrow().keys()).finish()
    }
}
