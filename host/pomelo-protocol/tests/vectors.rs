//! Bytes recorded from the original, in both directions. Where ours is better on purpose, the test says so and why.

use bytes::{Bytes, BytesMut};
use pomelo_protocol::{
    Astral, Dictionary, HandshakeRequest, HandshakeResponse, Message, MessageKind, MessageRoute, Package,
    PackageKind, Protos, RouteRef, encode_package, encode_push, encode_response, text,
};
use serde_json::{Value, json};

fn vectors(file: &str) -> Value {
    let path = format!("{}/../../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn rows<'a>(file: &'a Value, table: &str) -> &'a Vec<Value> {
    file[table].as_array().unwrap()
}

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
                MessageKind::Response => {
                    encode_response(&mut package, row["id"].as_u64().unwrap(), &body).unwrap();
                }
                MessageKind::Request | MessageKind::Notify => continue,
            }
            let package = Package::decode(&mut package, 1 << 24).unwrap().unwrap();
            assert_eq!(package.body, bytes, "{name}");
        }
    }
    let mut dst = BytesMut::new();
    assert!(encode_push(&mut dst, RouteRef::Name(&"r".repeat(256)), b"").is_err());
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
    let too_large = [&[0x00][..], &[0xff; 7], &[0x7f, 0x00]].concat();
    assert!(Message::decode(too_large.into()).is_err());
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

#[test]
fn protobuf() {
    let file = vectors("protobuf.json");
    let schemas = file["schemas"].to_string();
    let protos = Protos::new(&schemas, &schemas).unwrap();
    let parsed: Value = serde_json::from_str(protos.server.json()).unwrap();
    assert_eq!(parsed, file["parsed"]);
    for row in rows(&file, "vectors") {
        let (route, input) = (row["route"].as_str().unwrap(), &row["input"]);
        // An object's order is the order of the text, which `Value` does not keep: take it from the bytes' meaning.
        let ordered = row["decoded"].as_object().map(|_| &row["decoded"]);
        let encoded = protos
            .server
            .encode(route, input.to_string().as_bytes(), Astral::Utf8);
        if row["error"].is_string() {
            encoded.unwrap();
            continue; // The original allots too little for many small doubles.
        }
        let Some(expected) = row["hex"].as_str() else {
            // "null": refused, or nothing to write. Both become an empty body.
            assert!(encoded.unwrap_or_default().is_empty(), "{row}");
            continue;
        };
        let (mut bytes, mut encoded) = (hex(&json!(expected)), encoded.unwrap());
        let decoded = protos.client.decode(route, &bytes).unwrap();
        let decoded: Value = serde_json::from_slice(&decoded).unwrap();
        assert!(same(&decoded, ordered.unwrap()), "{decoded} {row}");
        bytes.sort_unstable();
        encoded.sort_unstable();
        assert_eq!(encoded, bytes, "the same fields, in whatever order: {row}");
    }
}

/// 1 and 1.0 are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (a, b) => a == b,
    }
}

#[test]
fn fields_follow_the_input() {
    let file = vectors("protobuf.json");
    let protos = Protos::new(&file["schemas"].to_string(), "").unwrap();
    let encode = |text: &str| {
        protos
            .server
            .encode("onChat", text.as_bytes(), Astral::Utf8)
            .unwrap()
    };
    let bytes = encode(r#"{"target":"*","msg":"m","other":{"a":[1]},"from":"f"}"#);
    assert_eq!(bytes, b"\x1a\x01*\x0a\x01m\x12\x01f");
    // Better than the original: a number or a boolean where a string belongs becomes its text.
    assert_eq!(
        encode(r#"{"msg":5,"from":true,"target":"*"}"#),
        b"\x0a\x015\x12\x04true\x1a\x01*"
    );
    for misfit in [
        r#"{"msg":{},"from":"f","target":"*"}"#,
        r#"{"msg":null,"from":"f","target":"*"}"#,
        "[]",
        "",
        "{",
    ] {
        assert!(
            protos
                .server
                .encode("onChat", misfit.as_bytes(), Astral::Utf8)
                .is_err(),
            "{misfit}"
        );
    }
    let surrogates = protos
        .server
        .encode("string", "{\"v\":\"😀\"}".as_bytes(), Astral::Surrogates)
        .unwrap();
    assert_eq!(surrogates, b"\x0a\x06\xed\xa0\xbd\xed\xb8\x80");
}

/// The original hands on what it could read; ours says that it is not whole.
#[test]
fn malformed_protobuf() {
    let file = vectors("protobuf.json");
    let protos = Protos::new("", &file["schemas"].to_string()).unwrap();
    for row in rows(&file, "bad_input") {
        let decoded = protos
            .client
            .decode(row["route"].as_str().unwrap(), &hex(&row["hex"]));
        match row["name"].as_str().unwrap() {
            "string shorter than announced" => assert!(decoded.is_err()),
            _ if row["decoded"]["error"].is_string() => assert!(decoded.is_err(), "{row}"),
            _ => {
                let decoded: Value = serde_json::from_slice(&decoded.unwrap()).unwrap();
                assert_eq!(decoded, row["decoded"]);
            }
        }
    }
    // A count of 2^40 elements costs nothing; a schema that contains itself ends somewhere.
    let repeated = b"\x08\x80\x80\x80\x80\x80\x20\x01";
    assert!(protos.client.decode("repeated", repeated).is_err());
    let endless = Protos::new("", r#"{"message A":{"optional A a":1},"r":{"required A a":1}}"#).unwrap();
    let mut nested = Vec::new();
    for _ in 0..60 {
        nested = [&[0x0a, nested.len() as u8][..], &nested[..]].concat();
    }
    assert!(endless.client.decode("r", &nested).is_err());
}

#[test]
fn wrong_schemas() {
    for (schema, complaint) in [
        ("[]", "object of messages"),
        ("{", "object of messages"),
        (r#"{"r":5}"#, "r: not an object of fields"),
        (r#"{"r":{"required string":1}}"#, "a field is"),
        (r#"{"r":{"maybe string a":1}}"#, "required, optional or repeated"),
        (r#"{"r":{"required text a":1}}"#, "no type text"),
        (r#"{"r":{"required string a":0}}"#, "tag"),
        (r#"{"r":{"required string a":"1"}}"#, "tag"),
        (
            r#"{"r":{"required string a":1,"required string b":1}}"#,
            "the tag 1 is taken",
        ),
        (
            r#"{"r":{"required string a":1,"optional string a":2}}"#,
            "of this name already",
        ),
    ] {
        let error = Protos::new(schema, "").unwrap_err().to_string();
        assert!(
            error.starts_with("serverProtos.json: ") && error.contains(complaint),
            "{schema}: {error}"
        );
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
