//! A client's message on its frontend: sent on to another server, or answered there.

use super::Routine;
use crate::{
    crowd::Client,
    stage::{self, BODY, Stage},
};
use bytes::Bytes;
use chathost_core::{
    app::App,
    dispatch,
    envelope::{Answer, Content, Envelope},
    error::{CallError, Reply},
    handler::{
        HandlerFactory, HandlerSource, Handlers, Kind, LoadError, Manifest, Method, MethodId, Request,
    },
    session::BackendSession,
};
use chathost_lua::LuaHandlers;
use futures_util::future::LocalBoxFuture;
use std::{path::Path, rc::Rc};

/// Requests before the answers are written. Tables of more entries have places that were used once, how many is chance.
const BATCH: u64 = 8;

/// From the message to the envelope in the queue: which server, who waits, and the session's copy.
pub(super) fn forward(_: &Path) -> Routine {
    let stage = Stage::new();
    let scripts = LuaHandlers::new(stage::scripts())
        .read("connector")
        .expect("the demo's scripts");
    let app = stage.server("connector-1", &*scripts);
    let mut chat = stage.mailbox("chat-1");
    let address = stage.listen(&app);
    let client = Client::enter(&stage, &app, address);
    let session = app.sessions.all().pop().expect("the client's");
    let (route, body) = (stage::route(), Bytes::from(BODY));
    let mut last = 0;
    Box::new(move |meter| {
        let message = || {
            last += 1;
            dispatch::message(&app, &session, Some(last), route.clone(), body.clone());
        };
        meter.batches(BATCH, message, || {
            answer_all(&app, stage.runtime.block_on(chat.recv()).expect("requests"));
            let written = app.outgoing.writes();
            stage.until(|| app.outgoing.writes() > written);
            client.drain();
        });
    })
}

fn answer_all(app: &Rc<App>, envelope: Envelope) {
    for content in envelope.contents {
        let Content::Forward { call: Some(call), .. } = content else {
            panic!("{content:?}")
        };
        let reply = Ok(Answer::Reply(Reply::ok("{}".into())));
        app.calls.answered(app, &"chat-1".into(), call, reply);
    }
}

/// From the message to the response in the outbox, where the handler costs nothing.
pub(super) fn answer(_: &Path) -> Routine {
    let stage = Stage::new();
    let app = stage.server("connector-1", &Echo);
    let address = stage.listen(&app);
    let client = Client::enter(&stage, &app, address);
    let session = app.sessions.all().pop().expect("the client's");
    let route = chathost_core::route::Route::parse("connector.echoHandler.echo").expect("a route");
    let body = Bytes::from(BODY);
    let mut last = 0;
    Box::new(move |meter| {
        let message = || {
            last += 1;
            dispatch::message(&app, &session, Some(last), route.clone(), body.clone());
        };
        meter.batches(BATCH, message, || {
            let written = app.outgoing.writes();
            stage.until(|| app.outgoing.writes() > written);
            client.drain();
        });
    })
}

/// Handlers that give back what they get, at once.
#[derive(Debug)]
pub(super) struct Echo;

#[derive(Debug)]
struct EchoHandlers(Manifest);

impl HandlerFactory for Echo {
    fn hash(&self) -> String {
        "00000000".into()
    }

    fn build(&self, app: &Rc<App>, _number: u64) -> Result<Rc<dyn Handlers>, LoadError> {
        let method = |kind, group: &str| Method {
            kind,
            group: group.into(),
            name: "echo".into(),
            concurrent: false,
            place: String::new(),
        };
        let methods = vec![
            method(Kind::Handler, "echoHandler"),
            method(Kind::Remote, "echoRemote"),
        ];
        Ok(Rc::new(EchoHandlers(Manifest::new(app.server_type(), methods))))
    }
}

impl Handlers for EchoHandlers {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    fn handle(&self, request: Request) -> LocalBoxFuture<'static, Reply> {
        Box::pin(async move { Reply::ok(request.body) })
    }

    fn invoke(&self, _method: MethodId, args: Bytes) -> LocalBoxFuture<'static, Result<Bytes, CallError>> {
        Box::pin(async move { Ok(args) })
    }

    fn notice(
        &self,
        _module: &str,
        _function: &str,
        _session: Rc<BackendSession>,
        _reason: &str,
    ) -> LocalBoxFuture<'static, ()> {
        Box::pin(async {})
    }
}
