//! What proptest tries: everything that can be written is read again as it was, and no bytes make a decoder panic.
//!
//! The checks for arbitrary bytes are the fuzz targets'; here they also get recorded bytes with a few of them changed,
//! which come further than noise does.

// A check may fail as a test may.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../fuzz/src/lib.rs"]
mod checks;
mod support;

use bytes::{Bytes, BytesMut};
use pomelo_protocol::{
    Astral, Dictionary, Message, MessageKind, MessageRoute, Package, PackageKind, Protos, RouteRef,
    encode_notify, encode_package, encode_push, encode_request, encode_response, text,
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::LazyLock};

/// Every `hex` of the wire's vectors.
static RECORDED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    fn collect(value: &Value, found: &mut Vec<Vec<u8>>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            Value::Object(entries) => {
                found.extend(entries.get("hex").map(support::hex));
                entries.values().for_each(|value| collect(value, found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&support::vectors("protocol.json"), &mut found);
    collect(&support::vectors("protobuf.json"), &mut found);
    found
});

/// A byte that picks a way of checking, and recorded bytes of which a few are others.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (any::<u8>(), select(&RECORDED[..]), edits).prop_map(|(first, mut bytes, edits)| {
        bytes.insert(0, first);
        for (index, byte) in edits {
            let place = index.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    })
}

fn check(data: &[u8]) {
    checks::packages(data);
    checks::message(data);
    checks::message(data.get(1..).unwrap_or_default());
    checks::protobuf(data);
    checks::schema(data);
    checks::handshake(data);
    checks::text(data);
}

proptest! {
    #[test]
    fn any_bytes(data in vec(any::<u8>(), 0..300)) {
        check(&data);
    }

    #[test]
    fn damaged_bytes(data in damaged()) {
        check(&data);
    }

    /// Brackets, quotes and the words of the grammar, in any order.
    #[test]
    fn any_schema(words in vec(select(vec![
        "{", "}", "[", "\"", ":", ",", "1", "message A", "required string a", "optional A b", "repeated B c", "r",
    ]), 0..40)) {
        checks::schema(words.concat().as_bytes());
    }
}

fn package_kind() -> impl Strategy<Value = PackageKind> {
    use PackageKind::{Data, Handshake, HandshakeAck, Heartbeat, Kick};
    select(vec![Handshake, HandshakeAck, Heartbeat, Data, Kick])
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..200)
}

/// One byte holds its length.
fn route() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("too long", |route| route.len() <= 255)
}

fn message(package: &mut BytesMut) -> Message {
    let package = Package::decode(package, 1 << 16).unwrap().unwrap();
    assert_eq!(package.kind, PackageKind::Data);
    Message::decode(package.body).unwrap()
}

proptest! {
    #[test]
    fn packages(packages in vec((package_kind(), body()), 1..8), size in 1_usize..50) {
        let mut wire = BytesMut::new();
        for (kind, body) in &packages {
            encode_package(&mut wire, *kind, body).unwrap();
        }
        let (mut stream, mut read) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(size) {
            stream.extend_from_slice(piece);
            while let Some(package) = Package::decode(&mut stream, 200).unwrap() {
                read.push((package.kind, package.body.to_vec()));
            }
        }
        prop_assert_eq!(&read, &packages);
        prop_assert!(stream.is_empty());
        let (mut frame, mut in_frame) = (wire.freeze(), Vec::new());
        while let Some(package) = Package::decode_frame(&mut frame, 200).unwrap() {
            in_frame.push((package.kind, package.body.to_vec()));
        }
        prop_assert_eq!(in_frame, packages);
    }

    #[test]
    fn messages(id in 0..=1_u64 << 53, route in route(), code in any::<u16>(), named in any::<bool>(), body in body()) {
        let route = if named { RouteRef::Name(&route) } else { RouteRef::Code(code) };
        let mut dst = BytesMut::new();
        encode_request(&mut dst, id, route, &body).unwrap();
        encode_notify(&mut dst, route, &body).unwrap();
        encode_push(&mut dst, route, &body).unwrap();
        encode_response(&mut dst, id, &body).unwrap();
        for (kind, id) in [(MessageKind::Request, id), (MessageKind::Notify, 0), (MessageKind::Push, 0)] {
            let read = message(&mut dst);
            prop_assert_eq!((read.kind, read.id, &read.body[..]), (kind, id, &body[..]));
            match read.route {
                MessageRoute::Name(name) => prop_assert_eq!(RouteRef::Name(name.as_str()), route),
                MessageRoute::Code(code) => prop_assert_eq!(RouteRef::Code(code), route),
                MessageRoute::None => prop_assert!(false, "a route is missing"),
            }
        }
        let read = message(&mut dst);
        prop_assert_eq!((read.kind, read.id, read.route), (MessageKind::Response, id, MessageRoute::None));
        prop_assert_eq!(&read.body[..], &body[..]);
        prop_assert!(dst.is_empty());
    }

    /// Both ways in which clients write emoji are read, and what goes out has none that the old client cannot read.
    #[test]
    fn texts(meant in any::<String>()) {
        let mut surrogates = Vec::new();
        for unit in meant.encode_utf16() {
            // Each unit as if it were a character: three bytes for the halves of a pair.
            match char::from_u32(unit.into()) {
                Some(character) => surrogates.extend_from_slice(character.to_string().as_bytes()),
                None => surrogates.extend_from_slice(&[
                    0xe0 | (unit >> 12) as u8,
                    0x80 | (unit >> 6 & 0x3f) as u8,
                    0x80 | (unit & 0x3f) as u8,
                ]),
            }
        }
        prop_assert_eq!(text::decode_text(&surrogates), &meant[..]);
        prop_assert_eq!(text::normalize_json_text(Bytes::from(surrogates)), meant.as_bytes());
        let json = Value::from(meant).to_string();
        let escaped = text::escape_astral(json.as_bytes());
        prop_assert!(escaped.iter().all(|&byte| byte < 0xf0));
        prop_assert_eq!(serde_json::from_slice::<Value>(&escaped).unwrap(), serde_json::from_str::<Value>(&json).unwrap());
    }

    #[test]
    fn dictionaries(routes in prop::collection::btree_set(any::<String>(), 0..30)) {
        let dictionary = Dictionary::new(routes.iter().cloned(), &[]);
        let codes: BTreeSet<u16> = routes.iter().filter_map(|route| dictionary.code(route)).collect();
        prop_assert!(codes.iter().copied().eq((1..).take(routes.len())));
        for route in &routes {
            prop_assert_eq!(dictionary.code(route).and_then(|code| dictionary.route(code)), Some(&route[..]));
        }
        let _: Value = serde_json::from_str(dictionary.route_to_code()).unwrap();
        let _: Value = serde_json::from_str(dictionary.code_to_route()).unwrap();
        let other_way = Dictionary::new(routes.iter().rev().cloned(), &[]);
        prop_assert_eq!(other_way.version(), dictionary.version());
    }
}

/// A type of the grammar, the definition of its message if it is one, and values of it.
#[derive(Debug, Clone)]
struct Sample {
    kind: &'static str,
    definition: Option<String>,
    values: Vec<Value>,
}

fn samples() -> impl Strategy<Value = Sample> {
    fn scalar(
        kind: &'static str,
        value: impl Strategy<Value = Value> + 'static,
    ) -> impl Strategy<Value = Sample> {
        vec(value, 1..4).prop_map(move |values| Sample {
            kind,
            definition: None,
            values,
        })
    }
    let signed = || (-(1_i64 << 52) + 1..1 << 52).prop_map(Value::from);
    let leaf = prop_oneof![
        scalar("uInt32", (0..1_u64 << 53).prop_map(Value::from)),
        scalar("sInt32", signed()),
        scalar("int32", signed()),
        scalar("float", prop::num::f32::NORMAL.prop_map(Value::from)),
        scalar("double", prop::num::f64::NORMAL.prop_map(Value::from)),
        scalar("string", any::<String>().prop_map(Value::from)),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        vec((inner, select(vec!["required", "optional", "repeated"])), 1..5).prop_map(|fields| {
            let (definition, value) = message_of(&fields);
            Sample {
                kind: "M",
                definition: Some(definition),
                values: vec![Value::Object(value)],
            }
        })
    })
}

/// A definition with these fields, and a message that has them all.
fn message_of(fields: &[(Sample, &str)]) -> (String, serde_json::Map<String, Value>) {
    let mut lines = Vec::new();
    let mut message = serde_json::Map::new();
    for (place, (sample, option)) in fields.iter().enumerate() {
        let kind = sample
            .definition
            .as_ref()
            .map_or(sample.kind.to_owned(), |definition| {
                lines.push(format!("\"message M{place}\":{definition}"));
                format!("M{place}")
            });
        lines.push(format!("\"{option} {kind} f{place}\":{}", 1 + place * 7));
        let value = if *option == "repeated" {
            json!(sample.values)
        } else {
            sample.values[0].clone()
        };
        message.insert(format!("f{place}"), value);
    }
    (format!("{{{}}}", lines.join(",")), message)
}

proptest! {
    #[test]
    fn protobuf(
        fields in vec((samples(), select(vec!["required", "optional", "repeated"])), 1..6),
        astral in select(vec![Astral::Utf8, Astral::Surrogates]),
    ) {
        let (definition, message) = message_of(&fields);
        let schema = format!("{{\"r\":{definition}}}");
        let protos = Protos::new(&schema, &schema).unwrap();
        let bytes = protos.server.encode("r", json!(message).to_string().as_bytes(), astral).unwrap();
        let decoded: Value = serde_json::from_slice(&protos.client.decode("r", &bytes).unwrap()).unwrap();
        prop_assert!(support::same(&decoded, &Value::Object(message.clone())), "{decoded} {message:?}");
        // Every beginning of it is a message with fewer fields, or an error.
        for end in 0..bytes.len() {
            drop(protos.client.decode("r", &bytes[..end]));
        }
    }
}
