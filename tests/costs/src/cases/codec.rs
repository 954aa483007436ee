//! Bytes to messages and back, without sockets.

use super::Routine;
use crate::{
    crowd::{self, HELLO, UPGRADE},
    stage,
};
use bytes::{Bytes, BytesMut};
use chathost_core::connector::Inflow;
use pomelo_protocol::{
    Dictionary, HandshakeRequest, HandshakeResponse, Message, Package, RouteRef, encode_push,
    encode_response, text,
};
use std::path::Path;

/// What a package may have.
const LARGEST: usize = 64 * 1024;

/// A package's bytes to a message with its route.
pub(super) fn decode_request(_: &Path) -> Routine {
    let frame = Bytes::from(crowd::request_package(7));
    Box::new(move |meter| {
        meter.each(|| {
            let mut frame = frame.clone();
            let package = Package::decode_frame(&mut frame, LARGEST).unwrap().unwrap();
            let message = Message::decode(package.body).unwrap();
            (message.id, text::normalize_json_text(message.body))
        });
    })
}

/// A response's package.
pub(super) fn response(_: &Path) -> Routine {
    Box::new(|meter| {
        meter.each(|| {
            let body = text::escape_astral(stage::PUSH.as_bytes());
            let mut bytes = BytesMut::with_capacity(body.len() + 32);
            encode_response(&mut bytes, 7, &body).unwrap();
            bytes.freeze()
        });
    })
}

/// A push's package.
pub(super) fn push(_: &Path) -> Routine {
    Box::new(|meter| {
        meter.each(|| {
            let body = text::escape_astral(stage::PUSH.as_bytes());
            let mut bytes = BytesMut::with_capacity(body.len() + 264);
            encode_push(&mut bytes, RouteRef::Name("onChat"), &body).unwrap();
            bytes.freeze()
        });
    })
}

/// A handshake and its answer, with the demo's dictionary.
pub(super) fn handshake(_: &Path) -> Routine {
    let routes = [
        stage::ROUTE,
        "connector.entryHandler.enter",
        "gate.gateHandler.queryEntry",
    ];
    let dictionary = Dictionary::new(
        routes.map(str::to_owned),
        &["onChat".to_owned(), "onAdd".to_owned()],
    );
    Box::new(move |meter| {
        meter.each(|| {
            let request = HandshakeRequest::parse(HELLO);
            let response = HandshakeResponse {
                heartbeat: Some(30),
                dictionary: Some(&dictionary),
                ..Default::default()
            };
            response.encode(&request)
        });
    })
}

/// A WebSocket frame from the socket to its package.
pub(super) fn websocket_request(_: &Path) -> Routine {
    let mut inflow = Inflow::Opening;
    assert_eq!(feed(&mut inflow, UPGRADE), 1);
    let frame = crowd::request(7);
    Box::new(move |meter| meter.each(|| assert_eq!(feed(&mut inflow, &frame), 1)))
}

/// A new connection's upgrade.
pub(super) fn websocket_upgrade(_: &Path) -> Routine {
    Box::new(|meter| {
        meter.each(|| {
            let mut inflow = Inflow::Opening;
            assert_eq!(feed(&mut inflow, UPGRADE), 1);
            inflow
        });
    })
}

/// What the connection's task does with what it has read. The number of events.
fn feed(inflow: &mut Inflow, bytes: &[u8]) -> usize {
    let mut events = 0;
    inflow
        .feed(bytes, LARGEST, || LARGEST, |_| {}, |_| events += 1)
        .expect("good bytes");
    events
}
