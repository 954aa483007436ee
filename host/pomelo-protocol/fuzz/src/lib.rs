//! What is true for any bytes: one function for each fuzz target, which panics where it is not.
//!
//! Not a fuzzer: libFuzzer calls these from `fuzz_targets/`, and `tests/properties.rs` and `tests/corpus.rs` of the crate
//! call the same ones on a stable compiler. They use nothing but its public API, `bytes` and `serde_json`.
//!
//! With a nightly compiler and cargo-fuzz, in the crate's folder (what is found is put into the first folder):
//! `cargo +nightly fuzz run message fuzz/corpus/message fuzz/seeds/message`.

use bytes::{Bytes, BytesMut};
use pomelo_protocol::{
    Astral, Dictionary, HandshakeRequest, HandshakeResponse, Message, MessageRoute, Package, Protos, Schema,
    encode_package, text,
};
use serde_json::Value;
use std::{borrow::Cow, sync::LazyLock};

/// Every type and option of the grammar, a message inside a message, one known to all, and one that contains itself.
pub const SCHEMA: &str = r#"{
    "message Shared": {"required string name": 1, "optional uInt32 level": 2},
    "message Tree": {"optional string leaf": 1, "repeated Tree branches": 2},
    "scalars": {"required uInt32 u": 1, "required sInt32 s": 2, "required int32 i": 3, "required float f": 4,
        "required double d": 5, "required string t": 6},
    "optional": {"optional uInt32 u": 1, "optional string t": 16, "optional double d": 2048, "optional Shared who": 3},
    "repeated": {"repeated uInt32 u": 1, "repeated sInt32 s": 2, "repeated string t": 3, "repeated double d": 4,
        "repeated float f": 5, "repeated Shared all": 6},
    "nested": {"message Point": {"required sInt32 x": 1, "required sInt32 y": 2}, "required Point at": 1,
        "repeated Point path": 2},
    "tree": {"required Tree root": 1}
}"#;

/// The routes of [`SCHEMA`].
pub const ROUTES: [&str; 5] = ["scalars", "optional", "repeated", "nested", "tree"];

/// The limit of a package's body in these functions.
pub const MAX_BODY: usize = 4096;

static SHARED: LazyLock<Schema> = LazyLock::new(|| Schema::parse(SCHEMA).expect("the grammar"));

/// A stream means the same however it is cut: the first byte says into pieces of how many.
pub fn package(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else {
        return;
    };
    let whole = packages(data, data.len());
    assert_eq!(whole, packages(data, usize::from(size)));
    let mut again = BytesMut::new();
    for package in &whole {
        encode_package(&mut again, package.kind, &package.body).expect("it was one");
    }
    assert!(data.starts_with(&again), "what was read is what is written");
    // A WebSocket message is read to its end, whatever a header says.
    let mut frame = Bytes::copy_from_slice(data);
    let mut read = 0;
    while let Ok(Some(package)) = Package::decode_frame(&mut frame, MAX_BODY) {
        if let Some(expected) = whole.get(read) {
            assert_eq!(&package, expected);
        }
        read += 1;
    }
    assert!(read >= whole.len());
}

fn packages(data: &[u8], size: usize) -> Vec<Package> {
    let (mut stream, mut packages) = (BytesMut::new(), Vec::new());
    for piece in data.chunks(size.max(1)) {
        stream.extend_from_slice(piece);
        loop {
            match Package::decode(&mut stream, MAX_BODY) {
                Ok(Some(package)) => packages.push(package),
                Ok(None) => break,
                Err(_) => return packages,
            }
        }
    }
    packages
}

/// What can be read can be written, and is then read as the same.
pub fn message(data: &[u8]) {
    let Ok(message) = Message::decode(Bytes::copy_from_slice(data)) else {
        return;
    };
    if let MessageRoute::Name(route) = &message.route {
        // Broken text grows when it is repaired.
        if route.as_str().len() > 255 {
            return;
        }
    }
    let mut again = BytesMut::new();
    message.encode(&mut again).expect("its route is short enough");
    assert_eq!(Message::decode(again.freeze()).as_ref(), Ok(&message));
}

/// The first byte says what the rest is: a schema, JSON for a route of [`SCHEMA`], or the bytes of one.
pub fn protobuf(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let route = ROUTES[usize::from(choice & 0x0f) % ROUTES.len()];
    match choice >> 4 {
        0 => schema(data),
        1 => json(route, data),
        _ => bytes(route, data),
    }
}

/// A schema that is taken is one that clients can be told.
fn schema(data: &[u8]) {
    if let Ok(schema) = std::str::from_utf8(data).map_or_else(|_| Err(()), |text| Schema::parse(text).map_err(drop)) {
        let _: Value = serde_json::from_str(schema.json()).expect("it is JSON");
        let text = std::str::from_utf8(data).unwrap_or_default();
        drop(Protos::new(text, "").expect("it is a schema"));
    }
}

/// What is written can be read, and is then written as the same.
fn json(route: &str, data: &[u8]) {
    for astral in [Astral::Utf8, Astral::Surrogates] {
        if let Ok(bytes) = SHARED.encode(route, data, astral) {
            let json = SHARED.decode(route, &bytes).expect("it was written for this route");
            match SHARED.encode(route, &json, astral) {
                Ok(again) => assert_eq!(again, bytes, "{}", String::from_utf8_lossy(&json)),
                // A float can be too large for 32 bits: it is infinite then, and JSON has no word for that.
                Err(_) => assert!(json.windows(4).any(|word| word == b"null")),
            }
        }
    }
}

/// What is read is JSON, and as JSON it keeps its meaning.
fn bytes(route: &str, data: &[u8]) {
    if let Ok(decoded) = SHARED.decode(route, data) {
        let _: Value = serde_json::from_slice(&decoded).expect("it is JSON");
        json(route, &decoded);
    }
}

/// Whatever a client says of itself, the answer is JSON.
pub fn handshake(data: &[u8]) {
    static DICTIONARY: LazyLock<Dictionary> =
        LazyLock::new(|| Dictionary::new(["a.b.c".to_owned(), "a.\"\u{1f600}".to_owned()], &["on".to_owned()]));
    static PROTOS: LazyLock<Protos> = LazyLock::new(|| Protos::new(SCHEMA, SCHEMA).expect("the grammar"));
    let request = HandshakeRequest::parse(data);
    let _ = (request.has_sys(), request.client_version(), request.is_js_websocket());
    let user = request.message().to_string();
    let response = HandshakeResponse {
        heartbeat: Some(3),
        dictionary: Some(&DICTIONARY),
        protos: Some(&PROTOS),
        user: Some(user.as_bytes()),
    };
    let body: Value = serde_json::from_slice(&response.encode(&request)).expect("it is JSON");
    assert_eq!(&body["user"], request.message());
    assert_eq!(body["sys"]["useDict"], true);
}

/// Bytes become text as a slower, simpler reading of the rules says; text keeps its meaning on the way out.
pub fn text(data: &[u8]) {
    let decoded = text::decode_text(data);
    match std::str::from_utf8(data) {
        Ok(valid) => assert!(matches!(decoded, Cow::Borrowed(text) if text == valid)),
        Err(_) => assert_eq!(decoded, plainly(data)),
    }
    let normal = text::normalize_json_text(Bytes::copy_from_slice(data));
    assert_eq!(normal, decoded.as_bytes());
    let json = Value::from(&*decoded).to_string();
    let escaped = text::escape_astral(json.as_bytes());
    assert!(escaped.iter().all(|&byte| byte < 0xf0));
    assert_eq!(serde_json::from_slice::<Value>(&escaped).ok(), Some(Value::from(&*decoded)));
    // What is no text passes as it is.
    let passed = text::escape_astral(data);
    assert!(std::str::from_utf8(data).is_ok() || passed == data);
}

/// UTF-16 from left to right: a pair of surrogates where six bytes are one, otherwise what Rust's own decoder says.
fn plainly(data: &[u8]) -> String {
    let (mut text, mut rest) = (String::new(), data);
    while !rest.is_empty() {
        let surrogate = |at: usize| match *rest.get(at..at + 3)? {
            [0xed, high @ 0xa0..=0xbf, low @ 0x80..=0xbf] => {
                Some(0xd000 | u16::from(high & 0x3f) << 6 | u16::from(low & 0x3f))
            }
            _ => None,
        };
        let pair = surrogate(0).zip(surrogate(3));
        if let Some(character) = pair.and_then(|(high, low)| String::from_utf16(&[high, low]).ok()) {
            text.push_str(&character);
            rest = &rest[6..];
            continue;
        }
        let chunk = rest.utf8_chunks().next().expect("there is a rest");
        // One character, or the broken bytes, and look again.
        match chunk.valid().chars().next() {
            Some(character) => {
                text.push(character);
                rest = &rest[character.len_utf8()..];
            }
            None => {
                text.push('\u{fffd}');
                rest = &rest[chunk.invalid().len()..];
            }
        }
    }
    text
}
