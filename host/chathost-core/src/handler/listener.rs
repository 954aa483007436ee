//! Who hears that a session was bound, unbound or closed.
//!
//! A listener is a function of the generation that registered it, or the *name* of one, which is looked up when the
//! event fires, in the generation of that moment: that is what survives a swap.

use crate::{app::App, session::BackendSession};
use futures_util::future::LocalBoxFuture;
use std::{fmt, rc::Rc, sync::Arc};

/// What can be heard of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It was given a uid.
    Bind,
    /// Its uid was taken away.
    Unbind,
    /// It is gone. The reason is the second argument.
    Closed,
}

impl Event {
    /// Scripts call them `bind`, `unbind` and `closed`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "bind" => Self::Bind,
            "unbind" => Self::Unbind,
            "closed" => Self::Closed,
            _ => return None,
        })
    }
}

/// A function that hears an event.
pub type ListenerFn = Rc<dyn Fn(Rc<BackendSession>, &str) -> LocalBoxFuture<'static, ()>>;

/// Who hears an event.
#[derive(Clone)]
pub enum Listener {
    /// A function of a module, by name.
    Named {
        /// The module that registered it, as [`crate::handler::Handlers::notice`] knows it.
        module: Arc<str>,
        /// The function's name in that module.
        function: Arc<str>,
    },
    /// A function of the generation that registered it.
    Function(ListenerFn),
}

impl Listener {
    /// What it takes of the host's memory. A function is the VM's.
    pub(crate) fn bytes(&self) -> usize {
        const LISTENER: usize = 256;
        match self {
            Self::Named { module, function } => LISTENER + module.len() + function.len(),
            Self::Function(_) => LISTENER,
        }
    }

    /// Calls it. The call is counted among those the server waits for before it ends.
    pub(crate) fn call(&self, app: &Rc<App>, session: Rc<BackendSession>, reason: &str) {
        let heard = match self {
            Self::Function(function) => function(session, reason),
            Self::Named { module, function } => {
                let Some(generation) = app.serving.current() else {
                    return;
                };
                generation.handlers().notice(module, function, session, reason)
            }
        };
        app.lanes.run_now(heard);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { module, function } => write!(f, "{module}.{function}"),
            Self::Function(_) => f.write_str("a function"),
        }
    }
}
