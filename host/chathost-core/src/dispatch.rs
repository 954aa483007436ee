//! A client's message on its way: global filters, then answered here or sent on to the server that does.
//!
//! Pomelo's `server.globalHandle`. The connector calls [`message`] with a decoded message; [`execute`] is where a
//! handler runs, on the frontend for its own routes and on the server a message was forwarded to. A request is always
//! answered: by the handler, or here.

use crate::{
    app::App,
    connector::CloseReason,
    envelope::Content,
    error::Reply,
    handler::{Generation, GlobalRequest, MethodId, Request},
    lane::Job,
    post::not_sent,
    route::Route,
    rpc::Waiter,
    session::{BackendSession, Session, Snapshot},
};
use bytes::Bytes;
use std::{rc::Rc, sync::Arc};
use tokio::sync::oneshot;

/// A message of a client that waits for its answer.
#[derive(Debug)]
pub struct Incoming {
    /// Whose it is.
    pub session: Rc<Session>,
    /// The client's number for it; `None` for a notify.
    pub request: Option<u64>,
    /// What it wants.
    pub route: Route,
    /// What the global filters behind the answer will see, if there are any.
    pub filtered: Option<Box<GlobalRequest>>,
}

/// Sees to a message of a client. `body` is JSON, or what the client sent instead.
pub fn message(app: &Rc<App>, session: &Rc<Session>, request: Option<u64>, route: Route, body: Bytes) {
    let connection = session.connection();
    // Only declared routes can be called anyway; the original answers this one with a kick, and clients may know it.
    if route.is_constructor() {
        tracing::warn!(sid = session.id, %route, "attack session");
        return connection.close(app, CloseReason::Kicked, Some("attack"));
    }
    if app.stopping.get() {
        return connection.respond(
            app,
            request,
            route.as_str(),
            &Reply::error(503, "the server is stopping"),
        );
    }
    let limit = usize::from(app.settings.limits.requests_in_flight);
    if connection.in_flight.get() >= limit {
        return connection.respond(
            app,
            request,
            route.as_str(),
            &Reply::error(429, "too many requests are in flight"),
        );
    }
    connection
        .in_flight
        .set(connection.in_flight.get() + usize::from(request.is_some()));
    let incoming = Incoming {
        session: session.clone(),
        request,
        route,
        filtered: None,
    };
    match app.serving.current() {
        Some(generation) if generation.handlers().has_global_filters() => {
            filter(app, &generation, incoming, body);
        }
        Some(_) => send_on(app, incoming, body),
        None => incoming.answer(app, Reply::unhandled()),
    }
}

/// Global filters first. They may wait; the session's messages keep their order all the same.
fn filter(app: &Rc<App>, generation: &Generation, mut incoming: Incoming, body: Bytes) {
    let view = BackendSession::new(&incoming.session.snapshot(app.id()));
    // A lane of its own: the session's requests for this server queue behind it, in theirs.
    let mut lane = view.lane();
    lane.sid = u64::MAX - lane.sid;
    let request = GlobalRequest {
        route: incoming.route.clone(),
        body,
        session: view,
    };
    incoming.filtered = Some(Box::new(request.clone()));
    let limit = usize::from(app.settings.limits.requests_in_flight);
    let Some(place) = app.lanes.place(lane, limit) else {
        tracing::debug!(route = %incoming.route, "too many wait for the global filters");
        return incoming.answer(app, Reply::error(429, "too many requests are in flight"));
    };
    let (handlers, context) = (generation.handlers().clone(), app.clone());
    place.run_job(Box::pin(async move {
        match handlers.global_before(request).await {
            Ok(body) => send_on(&context, incoming, body),
            Err(reply) => incoming.answer(&context, reply),
        }
    }));
}

fn send_on(app: &Rc<App>, incoming: Incoming, body: Bytes) {
    let snapshot = incoming.session.snapshot(app.id());
    if incoming.route.server_type() != app.server_type() {
        return forward(app, incoming, snapshot, body);
    }
    let (route, notify, context) = (incoming.route.clone(), incoming.request.is_none(), app.clone());
    execute(app, &snapshot, route, body, notify, move |reply| {
        incoming.answer(&context, reply);
    });
}

fn forward(app: &Rc<App>, incoming: Incoming, session: Arc<Snapshot>, body: Bytes) {
    let route = incoming.route.clone();
    let to = match app.router.pick_for(app, route.server_type(), &session) {
        Ok(to) => to,
        Err(error) => {
            tracing::warn!(%route, sid = session.id, %error, "fail to route a message");
            return incoming.answer(app, Reply::unhandled());
        }
    };
    let forward = |call| Content::Forward {
        call,
        session,
        route,
        body,
    };
    if incoming.request.is_some() {
        app.calls
            .begin(app, &to, Waiter::Client(incoming), |call| forward(Some(call)));
    } else if let Err(error) = app.post.send(app, &to, forward(None)) {
        not_sent!(error, "a notify did not leave", route = %incoming.route);
    }
}

/// Runs the handler of a route of this server's type, after the requests of its session that came before. Which
/// generation it runs on is decided when it begins.
pub(crate) fn execute(
    app: &Rc<App>,
    session: &Arc<Snapshot>,
    route: Route,
    body: Bytes,
    notify: bool,
    answer: impl FnOnce(Reply) + 'static,
) {
    if app.gate.is_closed() {
        if let Err(error) = app.gate.admit(app.settings.rpc.max_pending) {
            return answer(Reply::from_call_error(&error));
        }
        let (context, session) = (app.clone(), session.clone());
        return app
            .gate
            .wait(move || execute(&context, &session, route, body, notify, answer));
    }
    let Some(found) = Found::find(app, &route) else {
        tracing::warn!(%route, sid = session.id, frontend = %session.frontend_id, "fail to find handler for a route");
        return answer(Reply::unhandled());
    };
    let session = BackendSession::new(session);
    let limit = usize::from(app.settings.limits.requests_in_flight);
    let place = if found.is_concurrent() {
        Some(app.lanes.beside())
    } else {
        app.lanes.place(session.lane(), limit)
    };
    let Some(place) = place else {
        return answer(Reply::error(429, "too many requests are in flight"));
    };
    let context = app.clone();
    let begin = move || {
        let Some(Found { generation, method }) = found.now(&context, &route) else {
            answer(Reply::unhandled());
            return None;
        };
        let request = Request {
            method,
            route,
            body,
            session,
            notify,
        };
        generation.handle(request, answer)
    };
    let context = app.clone();
    place.run(move || when_open(&context, begin));
}

/// A request whose turn in its lane comes while a swap is going on, and the state of the old handlers has been taken, waits
/// for the new ones.
fn when_open(app: &Rc<App>, begin: impl FnOnce() -> Option<Job> + 'static) -> Option<Job> {
    if !app.gate.is_closed() {
        return begin();
    }
    let app = app.clone();
    Some(Box::pin(async move {
        while app.gate.is_closed() {
            let (open, opened) = oneshot::channel::<()>();
            app.gate.wait(move || drop(open));
            // Nothing is sent: that the sender goes says it.
            drop(opened.await);
        }
        if let Some(rest) = begin() {
            rest.await;
        }
    }))
}

/// What answers a route.
struct Found {
    generation: Rc<Generation>,
    method: MethodId,
}

impl Found {
    fn find(app: &App, route: &Route) -> Option<Self> {
        let generation = app.serving.current()?;
        let method = generation.handlers().manifest().handler(route.as_str())?;
        Some(Self { generation, method })
    }

    /// The same, unless the handlers were replaced since.
    fn now(self, app: &App, route: &Route) -> Option<Self> {
        if app.serving.is_current(&self.generation) {
            return Some(self);
        }
        Self::find(app, route)
    }

    fn is_concurrent(&self) -> bool {
        let method = self.generation.handlers().manifest().method(self.method);
        method.is_some_and(|method| method.concurrent)
    }
}

impl Incoming {
    /// Answers the client, if it wants an answer.
    pub fn answer(self, app: &Rc<App>, reply: Reply) {
        let connection = self.session.connection();
        if self.request.is_some() {
            connection
                .in_flight
                .set(connection.in_flight.get().saturating_sub(1));
        }
        connection.respond(app, self.request, self.route.as_str(), &reply);
        if let (Some(request), Some(generation)) = (self.filtered, app.serving.current()) {
            app.lanes
                .run_now(generation.handlers().global_after(*request, reply));
        }
    }
}
