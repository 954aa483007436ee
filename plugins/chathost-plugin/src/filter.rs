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

type Waiting<T> = Pin<Box<dyn Future<Output = Result<T>>>>;
pub(crate) type Before = Rc<dyn Fn(App, Message, Session) -> Waiting<Flow>>;
pub(crate) type After = Rc<dyn Fn(App, Message, Session, Result<Value>) -> Waiting<Value>>;
pub(crate) type OnError = Rc<dyn Fn(App, Error, Message, Session) -> Waiting<Value>>;

/// All filters of a generation.
#[derive(Default, Clone)]
pub(crate) struct Filters {
    pub(crate) before: Vec<Before>,
    /// In the order in which they run.
    pub(crate) after: Vec<After>,
    pub(crate) error_handler: Option<OnError>,
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
