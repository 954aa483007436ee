//! Filters around a plugin's handlers.

use crate::{
    app::App,
    error::{Error, Result},
    plugin::{Answer, Incoming, Method, answer},
    session::Session,
};
use serde_json::Value;
use std::{future::Future, pin::Pin, rc::Rc};

/// A message as filters see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The route, as the client wrote it.
    pub route: String,
    /// What the client sent; `{}` if that was no JSON.
    pub body: Value,
}

/// What a filter in front decides.
#[derive(Debug, Clone, PartialEq)]
pub enum Flow {
    /// Go on, with this message.
    Next(Value),
    /// Answer this, and nothing after it runs.
    Answer(Value),
}

/// A call of another server's remote, as filters see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcCall {
    /// The type of the server that is called.
    pub server_type: String,
    /// The server, if the caller named one; else it is the router's choice.
    pub server_id: Option<String>,
    /// `chatRemote.add`.
    pub method: String,
}

type Waiting<T> = Pin<Box<dyn Future<Output = Result<T>>>>;
pub(crate) type Before = Rc<dyn Fn(App, Message, Session) -> Waiting<Flow>>;
pub(crate) type After = Rc<dyn Fn(App, Message, Session, Result<Value>) -> Waiting<Value>>;
pub(crate) type RpcBefore = Rc<dyn Fn(App, RpcCall) -> Waiting<Option<String>>>;
pub(crate) type RpcAfter = Rc<dyn Fn(App, RpcCall) -> Waiting<()>>;
pub(crate) type OnError = Rc<dyn Fn(App, Error, Message, Session) -> Waiting<Value>>;

/// All filters of a generation.
#[derive(Default, Clone)]
pub(crate) struct Filters {
    pub(crate) before: Vec<Before>,
    /// In the order in which they run.
    pub(crate) after: Vec<After>,
    pub(crate) error_handler: Option<OnError>,
    pub(crate) rpc: RpcFilters,
}

/// Those around calls of other servers.
#[derive(Default, Clone)]
pub(crate) struct RpcFilters {
    pub(crate) before: Vec<RpcBefore>,
    /// In the order in which they run.
    pub(crate) after: Vec<RpcAfter>,
}

impl RpcFilters {
    /// Lets a call pass, perhaps to another server than it was meant for.
    pub(crate) async fn in_front(&self, app: &App, call: &mut RpcCall) -> Result<()> {
        for filter in &self.before {
            if let Some(server_id) = filter(app.clone(), call.clone()).await? {
                call.server_id = Some(server_id);
            }
        }
        Ok(())
    }

    /// Says that a call is over. What they fail with is the log's.
    pub(crate) async fn behind(&self, app: &App, call: &RpcCall) {
        for filter in &self.after {
            if let Err(error) = filter(app.clone(), call.clone()).await {
                app.error(format!("a filter behind {}: {error}", call.method));
            }
        }
    }
}

impl Message {
    pub(crate) fn read(call: &Incoming<'_>) -> Self {
        let body =
            serde_json::from_slice(call.body).unwrap_or_else(|_| Value::Object(serde_json::Map::new()));
        Self {
            route: call.route.to_owned(),
            body,
        }
    }
}

impl Filters {
    pub(crate) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty() && self.error_handler.is_none()
    }

    /// A handler with the filters around it.
    pub(crate) fn around(&self, method: &Method, app: &App, mut call: Incoming<'_>) -> Answer {
        let (filters, method, app) = (self.clone(), method.clone(), app.clone());
        let (mut msg, session) = (Message::read(&call), call.session());
        Box::pin(async move {
            let session = session?;
            let mut outcome = filters.in_front(&method, &app, &mut msg, &session).await;
            if let (Err(error), Some(handler)) = (&outcome, &filters.error_handler) {
                outcome = handler(app.clone(), error.clone(), msg.clone(), session.clone()).await;
            }
            for filter in &filters.after {
                outcome = filter(app.clone(), msg.clone(), session.clone(), outcome).await;
            }
            answer(&outcome?)
        })
    }

    async fn in_front(
        &self,
        method: &Method,
        app: &App,
        msg: &mut Message,
        session: &Session,
    ) -> Result<Value> {
        for filter in &self.before {
            match filter(app.clone(), msg.clone(), session.clone()).await? {
                Flow::Next(body) => msg.body = body,
                Flow::Answer(reply) => return Ok(reply),
            }
        }
        let body = serde_json::to_vec(&msg.body)?;
        let call = Incoming {
            route: &msg.route,
            body: &body,
            session: Some(session.clone()),
        };
        let reply = method(app, call).await?;
        match &*reply {
            [] => Ok(Value::Null),
            reply => Ok(serde_json::from_slice(reply)?),
        }
    }
}
