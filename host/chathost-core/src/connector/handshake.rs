//! The handshake: who may connect, and with which tables.
//!
//! Pomelo's `commands/handshake.js`. The functions that `app.lua` may put in front of it can wait, so the answer may
//! come later; until then the connection takes nothing. A refusal is sent and then the socket is closed.

use super::{CloseReason, Connection, State};
use crate::{app::App, error::CallError, session::Session};
use bytes::Bytes;
use pomelo_protocol::{Astral, HandshakeRequest, HandshakeResponse, PackageKind};
use std::rc::Rc;
use tokio::time::Instant;

/// Answers a handshake, now or when the user's functions have.
pub(super) fn answer(app: &Rc<App>, session: &Rc<Session>, body: &[u8]) {
    let request = HandshakeRequest::parse(body);
    let (check_client, user) = (
        app.hooks.check_client.borrow().clone(),
        app.hooks.handshake.borrow().clone(),
    );
    if !request.has_sys() {
        return refuse(app, session.connection(), HandshakeResponse::FAILED);
    }
    if check_client.is_none() && user.is_none() {
        return accept(app, session.connection(), &request, None);
    }
    session.connection().state.set(State::Shaking);
    let (app, session) = (app.clone(), session.clone());
    let lanes = app.lanes.clone();
    lanes.run_now(Box::pin(async move {
        let connection = session.connection();
        if let Some(check_client) = check_client {
            match check_client(request.client_type(), request.client_version()).await {
                Ok(true) => {}
                Ok(false) => return refuse(&app, connection, HandshakeResponse::OLD_CLIENT),
                Err(error) => return failed(&app, connection, &error),
            }
        }
        let address = connection.peer().to_string();
        let user = match user {
            Some(user) => user(request.message(), &address).await,
            None => Ok(None),
        };
        match user {
            Ok(user) => accept(&app, connection, &request, user.as_ref()),
            Err(error) => failed(&app, connection, &error),
        }
    }));
}

fn failed(app: &Rc<App>, connection: &Rc<Connection>, error: &CallError) {
    tracing::warn!(sid = connection.sid.get(), %error, "the handshake was refused");
    refuse(app, connection, HandshakeResponse::FAILED);
}

fn accept(app: &Rc<App>, connection: &Rc<Connection>, request: &HandshakeRequest, user: Option<&Bytes>) {
    let framing = connection.wire.borrow().framing();
    // In a browser Pomelo's own client reads protobuf with a decoder that knows no more than three bytes a character; on
    // Node with one that knows UTF-8.
    let old = request.is_js_websocket() && connection.browser.get();
    let astral = if old { Astral::Surrogates } else { Astral::Utf8 };
    let wire = app.outgoing.wires.current(framing, astral);
    let response = HandshakeResponse {
        heartbeat: app.settings.connector.heartbeat,
        dictionary: wire.tables().dictionary.as_deref(),
        protos: wire.tables().protos.as_deref(),
        user: user.map(|user| &user[..]),
    };
    connection.send_package(app, PackageKind::Handshake, &response.encode(request));
    connection.wire.replace(wire);
    connection.state.set(State::WaitAck);
    connection
        .deadline
        .set(Instant::now() + app.settings.limits.handshake_timeout());
}

fn refuse(app: &Rc<App>, connection: &Rc<Connection>, response: &[u8]) {
    connection.send_package(app, PackageKind::Handshake, response);
    connection.close(app, CloseReason::HandshakeRefused, None);
}
