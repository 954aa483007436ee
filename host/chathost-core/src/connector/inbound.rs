//! A package of a client: what it means in the state the connection is in.
//!
//! Packages out of state are ignored, as the original ignores them. Data becomes a message for [`crate::dispatch`];
//! whatever is wrong with a request, it gets an answer.

use super::{CloseReason, Connection, State, bucket::Rate, handshake};
use crate::{app::App, dispatch, error::Reply, route::Route, session::Session};
use bytes::Bytes;
use pomelo_protocol::{Message, MessageKind, Package, PackageKind};
use std::rc::Rc;
use tokio::time::Instant;

/// Sees to one package.
pub(super) fn package(app: &Rc<App>, session: &Rc<Session>, package: Package) {
    let connection = session.connection();
    if connection.closing.get().is_some() {
        return;
    }
    match (package.kind, connection.state.get()) {
        (PackageKind::Handshake, State::Inited) => return handshake::answer(app, session, &package.body),
        (PackageKind::HandshakeAck, State::WaitAck) => return begin(app, connection),
        _ => {}
    }
    let Some(within_rate) = counted(app, connection) else {
        return;
    };
    match (package.kind, connection.state.get()) {
        (PackageKind::Heartbeat, State::Working) if within_rate => heartbeat(app, connection),
        (PackageKind::Data, State::Working) => data(app, session, package.body, within_rate),
        // The server's own word.
        (PackageKind::Kick, _) => connection.close(app, CloseReason::Malformed, None),
        _ => {}
    }
}

/// Counts what a client sends, ignored or not, against its rate. `None`: it was too much, and the connection is closed.
pub(super) fn counted(app: &Rc<App>, connection: &Rc<Connection>) -> Option<bool> {
    match connection.rate(app) {
        Rate::Fine => Some(true),
        Rate::Over => Some(false),
        Rate::Flood => {
            connection.close(app, CloseReason::TooManyMessages, None);
            None
        }
    }
}

/// The client has heard the answer to its handshake. The first heartbeat is the server's.
fn begin(app: &Rc<App>, connection: &Rc<Connection>) {
    connection.state.set(State::Working);
    connection
        .deadline
        .set(Instant::now() + app.settings.connector.silence(&app.settings.limits));
    if app.settings.connector.heartbeat.is_some() {
        connection.send_package(app, PackageKind::Heartbeat, &[]);
    }
}

/// Answered at once; only heartbeats restart the clock.
fn heartbeat(app: &Rc<App>, connection: &Rc<Connection>) {
    if app.settings.connector.heartbeat.is_some() {
        connection
            .deadline
            .set(Instant::now() + app.settings.connector.silence(&app.settings.limits));
        connection.send_package(app, PackageKind::Heartbeat, &[]);
    }
}

fn data(app: &Rc<App>, session: &Rc<Session>, body: Bytes, within_rate: bool) {
    let connection = session.connection();
    let message = match Message::decode(body) {
        Ok(message) => message,
        Err(error) => {
            tracing::debug!(sid = session.id, %error, "a message could not be read");
            return connection.respond(app, error.id, "", &Reply::unhandled());
        }
    };
    // The original handles a push as a notify, and a request with the id 0 as well.
    let request = match message.kind {
        MessageKind::Request => Some(message.id).filter(|&id| id != 0),
        MessageKind::Notify | MessageKind::Push => None,
        MessageKind::Response => return,
    };
    if !within_rate {
        return connection.respond(
            app,
            request,
            "",
            &Reply::error(429, "too many messages per second"),
        );
    }
    let wire = connection.wire.borrow().clone();
    let route = wire.route(&message);
    let Some(route) = route.as_deref().and_then(Route::parse) else {
        tracing::debug!(sid = session.id, ?route, "invalid route string");
        return connection.respond(app, request, "", &Reply::unhandled());
    };
    match wire.decode_body(route.as_str(), message.body) {
        Ok(body) => dispatch::message(app, session, request, route, body),
        Err(error) => {
            tracing::debug!(sid = session.id, %route, %error, "a message does not fit clientProtos.json");
            connection.respond(app, request, route.as_str(), &Reply::unhandled());
        }
    }
}
