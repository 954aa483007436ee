//! Bytes recorded from the original: packages, messages, text, handshake; in both directions.
//!
//! Where ours is better on purpose, the test says so and why. Protobuf has its own file.

// A helper of a test may fail as the test may.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Bytes, BytesMut};
use pomelo_protocol::{
    Dictionary, Error, HandshakeRequest, HandshakeResponse, Message, MessageKind, MessageRoute, Package,
    PackageKind, Protos, RouteRef, encode_notify, encode_package, encode_push, encode_request,
    encode_response, text,
};
use serde_json::{Value, json};
use support::{hex, rows, vectors};

fn kind_of(number: u64) -> Option<PackageKind> {
    use PackageKind::{Data, Handshake, HandshakeAck, Heartbeat, Kick};
    [Handshake, HandshakeAck, Heartbeat, Data, Kick]
        .into_iter()
        .find(|kind| *kind as u64 == number)
}

#[test]
fn packages() {
    let file = vectors("protocol.json");
    let rows = rows(&file, "packages");
    assert!(rows.len() > 30);
    for row in rows {
        let (kind, bytes) = (kind_of(row["type"].as_u64().unwrap()).unwrap(), hex(&row["hex"]));
        let repeated = &row["body_repeat"];
        let body = match repeated["count"].as_u64() {
            Some(count) => hex(&repeated["byte_hex"]).repeat(usize::try_from(count).unwrap()),
            None => hex(&row["body_hex"]),
        };
        let mut encoded = BytesMut::new();
        encode_package(&mut encoded, kind, &body).unwrap();
        if row["hex"].is_string() {
            assert_eq!(encoded, bytes, "{}", row["name"]);
        }
        assert!(encoded.starts_with(&hex(&row["head_hex"])), "{}", row["name"]);
        assert_eq!(encoded.len() as u64, row["total_length"].as_u64().unwrap());
        let decoded = Package::decode(&mut encoded, 1 << 24).unwrap().unwrap();
        assert_eq!(
            (decoded.kind, &decoded.body[..]),
            (kind, &body[..]),
            "{}",
            row["name"]
        );
        assert!(encoded.is_empty());
    }
}

/// What the original makes of odd WebSocket messages. It does not fail: missing bytes become zeros, missing lengths
/// nothing, and what is no package becomes one. Ours takes a short body as it is; what has no whole header or no known
/// type is an error, which ends the connection as it does there.
#[test]
fn packages_in_a_frame() {
    for row in rows(&vectors("protocol.json"), "package_decode") {
        let mut frame = Bytes::from(hex(&row["hex"]));
        let mut decoded = Vec::new();
        let end = loop {
            match Package::decode_frame(&mut frame, 1 << 20) {
                Ok(Some(package)) => decoded.push(package),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        match row["name"].as_str().unwrap() {
            "unknown type 9" | "type 0" | "only a type byte" | "only two bytes of the length" => {
                assert!(end.is_err() && decoded.is_empty(), "{row}");
            }
            "trailing bytes that are no whole package" => assert!(end.is_err() && decoded.len() == 1),
            "body shorter than announced" => {
                end.unwrap();
                assert_eq!(decoded[0].body, "hi", "taken as it is, not filled up with zeros");
            }
            name => {
                end.unwrap();
                let expected = row["packages"].as_array().unwrap();
                assert_eq!(decoded.len(), expected.len(), "{name}");
                for (package, expected) in decoded.iter().zip(expected) {
                    assert_eq!(package.kind as u64, expected["type"], "{name}");
                    assert_eq!(package.body, hex(&expected["body_hex"]), "{name}");
                }
            }
        }
    }
}

fn message_kind(number: &Value) -> Option<MessageKind> {
    use MessageKind::{Notify, Push, Request, Response};
    [Request, Notify, Response, Push]
        .into_iter()
        .find(|kind| json!(*kind as u8) == *number)
}

fn check(message: &Message, expected: &Value, name: &str) {
    assert_eq!(message.id, expected["id"].as_u64().unwrap(), "{name}");
    assert_eq!(Some(message.kind), message_kind(&expected["type"]), "{name}");
    match &message.route {
        MessageRoute::Name(route) => assert_eq!(route.as_str(), expected["route"], "{name}"),
        MessageRoute::Code(code) => assert_eq!(*code, expected["route"], "{name}"),
        MessageRoute::None => assert!(expected["route"].is_null(), "{name}"),
    }
    assert_eq!(message.body, hex(&expected["body_hex"]), "{name}");
    assert_eq!(json!(u8::from(message.gzip)), expected["compressGzip"], "{name}");
}

#[test]
fn messages() {
    let file = vectors("protocol.json");
    let rows = rows(&file, "messages");
    assert!(rows.len() > 70);
    for row in rows {
        let name = row["name"].as_str().unwrap();
        // What the original's encoder refuses, or gets wrong, has no bytes to compare: ids from 2^31 on (32-bit shifts
        // cut the message), and routes of 256 bytes (their length becomes 0).
        let large = row["id"].as_u64().unwrap_or_default() >= 1 << 31;
        if let Some(kind) = message_kind(&row["type"]).filter(|_| row["error"].is_null() && !large) {
            let route = match &row["route"] {
                Value::Number(code) => RouteRef::Code(u16::try_from(code.as_u64().unwrap()).unwrap()),
                Value::String(route) => RouteRef::Name(route),
                _ => RouteRef::Name(""),
            };
            let bytes = hex(&row["hex"]);
            let body = hex(&row["body_hex"]);
            if !bytes.is_empty() {
                let decoded = Message::decode(bytes.clone().into()).unwrap();
                check(&decoded, &row["decoded"], name);
                let mut again = BytesMut::new();
                decoded.encode(&mut again).unwrap();
                if kind != MessageKind::Response || row["compressRoute"] == 0 {
                    assert_eq!(again, bytes, "{name}");
                }
            }
            let mut package = BytesMut::new();
            match kind {
                MessageKind::Push => encode_push(&mut package, route, &body).unwrap(),
                // It has no route, so the flag for a coded one says nothing; ours never sets it.
                MessageKind::Response if row["compressRoute"] == 1 => continue,
                // Ours never compresses.
                _ if row["compressGzip"] == 1 => continue,
                MessageKind::Response => {
                    encode_response(&mut package, row["id"].as_u64().unwrap(), &body).unwrap();
                }
                MessageKind::Request => {
                    encode_request(&mut package, row["id"].as_u64().unwrap(), route, &body).unwrap();
                }
                MessageKind::Notify => encode_notify(&mut package, route, &body).unwrap(),
            }
            let package = Package::decode(&mut package, 1 << 24).unwrap().unwrap();
            assert_eq!(package.body, bytes, "{name}");
        }
    }
}

/// What cannot be written leaves nothing half-written behind.
#[test]
fn all_or_nothing() {
    let mut dst = BytesMut::from(&b"before"[..]);
    let route = "r".repeat(256);
    let error = encode_push(&mut dst, RouteRef::Name(&route), b"").unwrap_err();
    assert_eq!(error, Error::RouteTooLong(256));
    let body = vec![0; 1 << 24];
    for result in [
        encode_push(&mut dst, RouteRef::Code(1), &body),
        encode_response(&mut dst, 1, &body),
        encode_package(&mut dst, PackageKind::Kick, &body),
    ] {
        assert!(matches!(result, Err(Error::PackageTooLarge { .. })));
    }
    assert_eq!(&dst[..], b"before");
}

/// Writing takes no memory but the destination's, and reading hands out slices of what came.
#[test]
fn no_copies() {
    let mut dst = BytesMut::with_capacity(64);
    let start = dst.as_ptr();
    encode_push(&mut dst, RouteRef::Name("onChat"), b"{\"msg\":1}").unwrap();
    encode_response(&mut dst, 300, b"{}").unwrap();
    assert_eq!(dst.as_ptr(), start);
    let mut frame = dst.freeze();
    let within = frame.as_ptr_range();
    while let Some(package) = Package::decode_frame(&mut frame, 64).unwrap() {
        let message = Message::decode(package.body).unwrap();
        assert!(within.contains(&message.body.as_ptr()));
        if let MessageRoute::Name(route) = &message.route {
            assert!(within.contains(&route.as_str().as_ptr()));
        }
    }
    let body = Bytes::from_static("{\"a\":\"中\"}".as_bytes());
    assert_eq!(text::normalize_json_text(body.clone()).as_ptr(), body.as_ptr());
    assert_eq!(text::escape_astral(&body).as_ptr(), body.as_ptr());
}

/// An announced length is judged before its bytes are waited for.
#[test]
fn announced_lengths() {
    for kind in [1, 4] {
        let announced = [kind, 0xff, 0xff, 0xff];
        let too_large = Error::PackageTooLarge {
            length: 0xff_ffff,
            limit: 65_536,
        };
        let mut stream = BytesMut::from(&announced[..]);
        assert_eq!(Package::decode(&mut stream, 65_536), Err(too_large.clone()));
        let mut frame = Bytes::copy_from_slice(&announced);
        assert_eq!(Package::decode_frame(&mut frame, 65_536), Err(too_large));
    }
    // A stream is not whole yet, whatever was cut; only its type can be wrong already.
    for cut in 0..4 {
        let mut stream = BytesMut::from(&[4, 0, 0, 1][..cut]);
        assert_eq!(Package::decode(&mut stream, 65_536), Ok(None));
    }
    let mut stream = BytesMut::from(&[9][..]);
    assert_eq!(
        Package::decode(&mut stream, 65_536),
        Err(Error::UnknownPackageKind(9))
    );
}

/// The original's decoder throws at most of these; the connection then hangs. Ours says what is wrong, and whom an
/// answer is owed.
#[test]
fn malformed_messages() {
    for row in rows(&vectors("protocol.json"), "message_decode") {
        let name = row["name"].as_str().unwrap();
        let decoded = Message::decode(hex(&row["hex"]).into());
        match name {
            // Ids of more than 32 bits: the original's shifts make 8 of 2^38.
            "request, id of six bytes" => assert_eq!(decoded.unwrap().id, 1 << 35),
            "message type 7" => assert!(
                decoded.is_err(),
                "the original takes it for a message without a route"
            ),
            "request, id without route" | "request, route shorter than announced" => {
                assert_eq!(decoded.unwrap_err().id, Some(1), "{name}");
            }
            _ if row["decoded"]["error"].is_string() => assert!(decoded.is_err(), "{name}"),
            _ => check(&decoded.unwrap(), &row["decoded"], name),
        }
    }
}

#[test]
fn large_ids() {
    for id in [1 << 31, u64::from(u32::MAX), 1 << 53] {
        let message = Message {
            id,
            kind: MessageKind::Request,
            route: MessageRoute::Code(1),
            gzip: false,
            body: Bytes::from_static(b"{}"),
        };
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes).unwrap();
        assert_eq!(Message::decode(bytes.freeze()).unwrap(), message);
        let mut package = BytesMut::new();
        encode_response(&mut package, id, b"{}").unwrap();
        let package = Package::decode(&mut package, 100).unwrap().unwrap();
        assert_eq!(Message::decode(package.body).unwrap().id, id);
    }
    // 2^53 + 1, and a number that never ends.
    for id in [[&[0x81][..], &[0x80; 6], &[0x10]].concat(), vec![0xff; 20]] {
        let bytes = [&[0x00][..], &id, &[0x00]].concat();
        let error = Message::decode(bytes.into()).unwrap_err();
        assert_eq!((error.id, error.error), (None, Error::IdTooLarge));
    }
}

/// Everything that any of the original's clients writes is read as what was meant; Node makes six U+FFFD of an emoji.
#[test]
fn strings() {
    for row in rows(&vectors("protocol.json"), "strencode") {
        let Some(meant) = row["text"].as_str() else {
            continue;
        };
        for bytes in [hex(&row["node_hex"]), hex(&row["browser_hex"])] {
            assert_eq!(text::decode_text(&bytes), meant);
        }
    }
}

/// The recorded handshake with dictionary and protobuf, byte for byte.
#[test]
fn handshake() {
    let file = vectors("session.json");
    let cases = rows(&file, "cases");
    let case = cases
        .iter()
        .find(|case| case["name"] == "dictionary and protobuf: handshake")
        .unwrap();
    let log = case["log"].as_array().unwrap();
    let sent: Vec<&Value> = log
        .iter()
        .filter(|entry| entry["decoded"][0]["package"] == "handshake")
        .collect();
    let recorded = &sent[1]["decoded"][0]["body"]["sys"];
    let codes = recorded["dict"].as_object().unwrap();
    let extra = ["onChat", "onAdd", "onLeave"].map(String::from);
    let routes = codes.keys().filter(|route| route.contains('.')).cloned();
    let dictionary = Dictionary::new(routes, &extra);
    assert_eq!(dictionary.version(), recorded["dictVersion"]);
    // Fields in the order of their tags, as the files had them.
    let rebuild = |side: &Value| -> String {
        let messages = side.as_object().unwrap().iter().map(|(route, message)| {
            let fields = message["__tags"].as_object().unwrap().iter().map(|(tag, name)| {
                let field = &message[name.as_str().unwrap()];
                let (option, kind) = (field["option"].as_str().unwrap(), field["type"].as_str().unwrap());
                format!("\"{option} {kind} {}\":{tag}", name.as_str().unwrap())
            });
            format!("\"{route}\":{{{}}}", fields.collect::<Vec<_>>().join(","))
        });
        format!("{{{}}}", messages.collect::<Vec<_>>().join(","))
    };
    let protos = Protos::new(
        &rebuild(&recorded["protos"]["server"]),
        &rebuild(&recorded["protos"]["client"]),
    )
    .unwrap();
    let response = HandshakeResponse {
        heartbeat: Some(30),
        dictionary: Some(&dictionary),
        protos: Some(&protos),
        user: None,
    };
    let mut compared = 0;
    for (request, answer) in sent.iter().zip(&sent[1..]) {
        if request["from"] != "client" || answer["from"] != "server" || request["client"] != answer["client"]
        {
            continue;
        }
        let request = HandshakeRequest::parse(&hex(&request["hex"])[4..]);
        let body = response.encode(&request);
        let recorded = hex(&answer["hex"]);
        let shown = (
            String::from_utf8_lossy(&body),
            String::from_utf8_lossy(&recorded[4..]),
        );
        assert_eq!(body, recorded[4..], "{} {}", shown.0, shown.1);
        compared += 1;
    }
    assert!(compared >= 2);
}

/// Every recorded handshake without tables, the refused ones included, byte for byte.
#[test]
fn handshakes_of_all_sessions() {
    let file = vectors("session.json");
    let mut compared = 0;
    for case in rows(&file, "cases") {
        let log = rows(case, "log");
        for (at, asked) in log.iter().enumerate() {
            let of = |side: &str, entry: &Value| {
                entry["from"] == side
                    && entry["client"] == asked["client"]
                    && entry["decoded"][0]["package"] == "handshake"
            };
            let answer = log[at..].iter().find(|entry| of("server", entry));
            let Some(answer) = answer.filter(|_| of("client", asked)) else {
                continue;
            };
            let recorded = &answer["decoded"][0]["body"];
            if recorded["sys"]["useDict"] == true {
                continue;
            }
            let request = HandshakeRequest::parse(&hex(&asked["hex"])[4..]);
            let response = HandshakeResponse {
                heartbeat: recorded["sys"]["heartbeat"]
                    .as_u64()
                    .and_then(|seconds| seconds.try_into().ok()),
                ..HandshakeResponse::default()
            };
            let body = if request.has_sys() {
                response.encode(&request)
            } else {
                HandshakeResponse::FAILED.to_vec()
            };
            let name = &case["name"];
            assert_eq!(body, hex(&answer["hex"])[4..], "{name}: {recorded}");
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared}");
}
