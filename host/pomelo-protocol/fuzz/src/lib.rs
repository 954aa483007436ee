//! What has to hold for any bytes: nothing panics, and what could be read can be written and read again.
//!
//! One function for each fuzz target. The tests of pomelo-protocol take this file in as a module (so it uses nothing of
//! libfuzzer) and run the same functions over the stored corpus and over what proptest thinks of. A function panics
//! when something does not hold.

use bytes::{Bytes, BytesMut};
use pomelo_protocol::{
    Astral, Dictionary, Error, HandshakeRequest, HandshakeResponse, Message, MessageRoute, Package, Protos,
    encode_package, text,
};
use serde_json::Value;
use std::{borrow::Cow, sync::LazyLock};

const MAX_BODY: usize = 4096;

/// The schemas of the vectors, in their order, and one that contains itself. The first byte of [`protobuf`]'s input
/// picks one.
pub const ROUTES: [&str; 14] = [
    "uint", "sint", "int", "float", "double", "string", "scalars", "tags", "optional", "repeated", "nested",
    "deep", "shared", "endless",
];

static PROTOS: LazyLock<Protos> = LazyLock::new(|| {
    let schemas = r#"{
        "uint": {"required uInt32 v": 1},
        "sint": {"required sInt32 v": 1},
        "int": {"required int32 v": 1},
        "float": {"required float v": 1},
        "double": {"required double v": 1},
        "string": {"required string v": 1},
        "scalars": {
            "required uInt32 u": 1, "required sInt32 s": 2, "required int32 i": 3,
            "required float f": 4, "required double d": 5, "required string t": 6
        },
        "tags": {
            "required uInt32 a": 1, "optional uInt32 b": 15, "optional uInt32 c": 16,
            "optional string d": 2047, "optional string e": 2048
        },
        "optional": {"required string name": 1, "optional uInt32 age": 2, "optional string note": 3},
        "repeated": {
            "repeated uInt32 u": 1, "repeated sInt32 s": 2, "repeated string t": 3,
            "repeated double d": 4, "repeated float f": 5, "repeated int32 i": 6
        },
        "nested": {
            "message Point": {"required sInt32 x": 1, "required sInt32 y": 2},
            "required Point at": 1, "optional Point to": 2, "repeated Point path": 3
        },
        "deep": {
            "message A": {
                "message B": {"required string v": 1},
                "required B b": 1, "optional uInt32 n": 2
            },
            "required A a": 1
        },
        "message Shared": {"required string name": 1, "optional uInt32 level": 2},
        "shared": {"required Shared who": 1, "repeated Shared others": 2},
        "message Endless": {"optional Endless in": 1, "repeated Endless all": 2},
        "endless": {"optional Endless in": 1}
    }"#;
    Protos::new(schemas, schemas).expect("it is the grammar")
});

/// A stream gives the same packages however it is cut, and they are the bytes that came. The first byte is the size of
/// the pieces.
pub fn packages(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else {
        return;
    };
    let whole = stream([data]);
    let pieces = stream(data.chunks(usize::from(size).max(1)));
    assert_eq!(whole, pieces);
    let (packages, end) = whole;
    let mut written = BytesMut::new();
    for package in &packages {
        encode_package(&mut written, package.kind, &package.body).expect("it was one package");
    }
    assert!(data.starts_with(&written));

    let mut frame = Bytes::copy_from_slice(data);
    let mut in_frame = Vec::new();
    let frame_end = loop {
        match Package::decode_frame(&mut frame, MAX_BODY) {
            Ok(Some(package)) => in_frame.push(package),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(in_frame.starts_with(&packages));
    match end {
        // Here, what is not whole is the end: cut in its body or in its header.
        Ok(()) => assert!(
            in_frame.len() <= packages.len() + 1 && matches!(frame_end, Ok(()) | Err(Error::Truncated(_)))
        ),
        Err(error) => assert_eq!((in_frame.len(), frame_end), (packages.len(), Err(error))),
    }
}

fn stream<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Package>, Result<(), Error>) {
    let (mut stream, mut packages) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        stream.extend_from_slice(piece);
        loop {
            match Package::decode(&mut stream, MAX_BODY) {
                Ok(Some(package)) => packages.push(package),
                Ok(None) => break,
                Err(error) => return (packages, Err(error)),
            }
        }
    }
    (packages, Ok(()))
}

/// What is a message can be written and is the same message then; its body is not a copy.
pub fn message(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let Ok(message) = Message::decode(data.clone()) else {
        return;
    };
    assert!(data.ends_with(&message.body));
    assert!(message.body.is_empty() || data.as_ptr_range().contains(&message.body.as_ptr()));
    let mut written = BytesMut::new();
    if let Err(error) = message.encode(&mut written) {
        // Every bad byte of a route became U+FFFD, which has three.
        assert!(matches!(error, Error::RouteTooLong(256..=765)), "{error}");
        assert!(matches!(message.route, MessageRoute::Name(_)) && written.is_empty());
        return;
    }
    assert_eq!(Message::decode(written.freeze()), Ok(message));
}

/// Bytes that can be read are JSON; that can be written again, in one way. JSON that can be written can be read.
pub fn protobuf(data: &[u8]) {
    let Some((&route, data)) = data.split_first() else {
        return;
    };
    let route = ROUTES[usize::from(route) % ROUTES.len()];
    if let Ok(json) = PROTOS.client.decode(route, data) {
        let _: Value = serde_json::from_slice(&json).expect("what is read is JSON");
        // A required field may be missing, or a number be none: then it cannot be written.
        if let Ok(bytes) = PROTOS.server.encode(route, &json, Astral::Utf8) {
            let again = PROTOS.client.decode(route, &bytes).expect("ours can be read");
            let same = PROTOS.server.encode(route, &again, Astral::Utf8);
            assert_eq!(same.as_ref(), Ok(&bytes));
        }
    }
    for astral in [Astral::Utf8, Astral::Surrogates] {
        if let Ok(bytes) = PROTOS.server.encode(route, data, astral) {
            let json = PROTOS.client.decode(route, &bytes).expect("ours can be read");
            match PROTOS.server.encode(route, &json, astral) {
                Ok(again) => assert_eq!(again, bytes, "{}", String::from_utf8_lossy(&json)),
                // A number too large for 32 bits is infinite in a float, and JSON has no word for that.
                Err(_) => assert!(json.windows(4).any(|word| word == b"null")),
            }
        }
    }
}

/// What is a schema can be told to clients.
pub fn schema(data: &[u8]) {
    let Ok(protos) = std::str::from_utf8(data).map(|text| Protos::new(text, text)) else {
        return;
    };
    if let Ok(protos) = protos {
        let told: Value = serde_json::from_str(protos.json()).expect("it is JSON");
        assert_eq!(told["server"], told["client"]);
        assert_eq!(told["version"], protos.version());
    }
}

/// Any body of a handshake has an answer.
pub fn handshake(data: &[u8]) {
    // A small one: the fuzzer would spend its time on reading the answer.
    static PROTOS: LazyLock<Protos> =
        LazyLock::new(|| Protos::new(r#"{"r":{"required string v":1}}"#, "").expect("it is the grammar"));
    let request = HandshakeRequest::parse(data);
    assert!(request.has_sys() || request.client_type().is_null() || !request.message()["sys"].is_object());
    let dictionary = Dictionary::new([String::from_utf8_lossy(data).into_owned()], &[]);
    let user = request.message().to_string();
    let response = HandshakeResponse {
        heartbeat: Some(3),
        dictionary: Some(&dictionary),
        protos: Some(&PROTOS),
        user: Some(user.as_bytes()),
    };
    let answer: Value = serde_json::from_slice(&response.encode(&request)).expect("an answer is JSON");
    assert_eq!(
        (&answer["code"], &answer["sys"]["useDict"]),
        (&200.into(), &true.into())
    );
    assert_eq!(&answer["user"], request.message());
}

/// Any bytes become text, and text keeps its meaning on the way out.
pub fn text(data: &[u8]) {
    let decoded = text::decode_text(data);
    match std::str::from_utf8(data) {
        Ok(valid) => assert!(matches!(decoded, Cow::Borrowed(text) if text == valid)),
        Err(_) => assert_eq!(decoded, plainly(data)),
    }
    let normalized = text::normalize_json_text(Bytes::copy_from_slice(data));
    assert_eq!(normalized, decoded.as_bytes());
    let json = Value::from(&*decoded).to_string();
    let escaped = text::escape_astral(json.as_bytes());
    assert!(escaped.iter().all(|&byte| byte < 0xf0));
    let back: Value = serde_json::from_slice(&escaped).expect("still JSON");
    assert_eq!(back, *decoded);
    // What is no text passes as it is.
    assert!(std::str::from_utf8(data).is_ok() || text::escape_astral(data) == data);
}

/// What [`text::decode_text`] has to say, slowly: six bytes that are a pair of surrogates are one character, everything
/// else is what Rust's own decoder says, one character or one broken piece at a time.
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
        match chunk.valid().chars().next() {
            Some(character) => {
                text.push(character);
                rest = &rest[character.len_utf8()..];
            }
            None => {
                text.push(char::REPLACEMENT_CHARACTER);
                rest = &rest[chunk.invalid().len()..];
            }
        }
    }
    text
}
