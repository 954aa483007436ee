//! What a peer's bytes may cost: a bounded number of bytes of memory for each, and time in proportion.
//!
//! Memory is the most that was held at one time on this thread, as the allocator saw it. The factors are what the worst
//! input known takes, rounded up; a change that needs a larger one should say why.

// A helper of a test may fail as the test may.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use pomelo_protocol::{Astral, HandshakeRequest, Message, Package, Schema, text};
use proptest::{collection::vec, prelude::*, sample::select};
use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// An object with one key is a tree's node with room for eleven. The connector's limit of a package is the limit of this.
const HANDSHAKE: usize = 128;
/// A broken byte becomes the three of U+FFFD, in a string that doubles as it grows.
const TEXT: usize = 10;
/// A byte can be an element, a control character of six bytes in JSON, or half of an empty message; an inner message is
/// in its own buffer until it is over.
const PROTOBUF: usize = 64;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::parse(
        r#"{
            "message Tree": {"optional string leaf": 1, "repeated Tree all": 2},
            "tree": {"optional Tree root": 1},
            "numbers": {"repeated uInt32 u": 1, "repeated sInt32 s": 2, "repeated double d": 3, "repeated float f": 4}
        }"#,
    )
    .unwrap()
});

fn costs<T>(input: &[u8], factor: usize, work: impl FnOnce() -> T) {
    let held = allocation_counter::measure(|| drop(work())).bytes_max;
    let allowed = input.len() * factor + 1024;
    assert!(
        held <= allowed as u64,
        "{held} bytes held for {} of input",
        input.len()
    );
}

fn everything(data: &[u8]) {
    // Made once, and not for these bytes.
    LazyLock::force(&SCHEMA);
    let bytes = Bytes::copy_from_slice(data);
    let mut stream = BytesMut::from(data);
    costs(data, 1, || {
        while let Ok(Some(_)) = Package::decode(&mut stream, 1 << 24) {}
    });
    let mut frame = bytes.clone();
    costs(data, 1, || {
        while let Ok(Some(_)) = Package::decode_frame(&mut frame, 1 << 24) {}
    });
    costs(data, 1, || Message::decode(bytes.clone()));
    costs(data, TEXT, || text::normalize_json_text(bytes.clone()));
    costs(data, HANDSHAKE, || HandshakeRequest::parse(data));
    for route in ["tree", "numbers"] {
        costs(data, PROTOBUF, || SCHEMA.decode(route, data));
        costs(data, PROTOBUF, || SCHEMA.encode(route, data, Astral::Surrogates));
    }
}

/// Random ones, and those on which the decoders decide.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let telling =
        select(b"\x00\x01\x02\x03\x04\x05\x08\x0a\x12\x1a\x22\x7f\x80\xa0\xb8\xed\xff\"{}[]:,\\".to_vec());
    vec(prop_oneof![any::<u8>(), telling], 0..3000)
}

proptest! {
    #[test]
    fn of_any_bytes(data in bytes()) {
        everything(&data);
    }
}

/// A tag, the length of what follows in three bytes, and it.
fn long(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let varint = [length & 0x7f | 0x80, length >> 7 & 0x7f | 0x80, length >> 14].map(|byte| byte as u8);
    [&[tag], &varint[..], content].concat()
}

#[test]
fn of_the_worst_bytes() {
    for data in [
        format!("[{}0]", "{\"\":0},".repeat(9000)).into_bytes(),
        format!("[{}0]", "[],".repeat(20_000)).into_bytes(),
        format!("{{{}\"\":0}}", "\"\":[[{\"\":0}]],".repeat(4000)).into_bytes(),
        "{\"a\":[".repeat(10_000).into_bytes(),
        vec![0xff; 60_000],
        vec![0xed; 60_000],
        b"\xed\xa0\xbd\xed\xa0".repeat(12_000),
        // Empty messages, texts of control characters and of broken bytes, numbers of one byte.
        long(0x0a, &b"\x12\x00".repeat(30_000)),
        long(0x0a, &long(0x0a, &[1; 60_000])),
        long(0x0a, &long(0x0a, &[0xff; 60_000])),
        [&[0x10, 0xe0, 0xd4, 0x03], &[0x7f; 60_000][..]].concat(),
        // An announced length or count is not a reason to make room.
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
        b"\x08\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
        b"\x04\xff\xff\xff".to_vec(),
    ] {
        everything(&data);
    }
    // One inside the other, as deep as is allowed: each level is copied into the one around it.
    let mut nested = long(0x0a, &[1; 30_000]);
    for _ in 0..30 {
        nested = long(0x12, &nested);
    }
    let nested = long(0x0a, &nested);
    SCHEMA.decode("tree", &nested).unwrap();
    everything(&nested);
}

/// Eight times as many bytes take about eight times as long, not sixty-four times: half-way between is the border, and
/// a few milliseconds are the machine's.
fn linear(name: &str, input: impl Fn(usize) -> Vec<u8>, work: impl Fn(&[u8])) {
    let time = |size| {
        let data = input(size);
        let times = (0..5).map(|_| {
            let start = Instant::now();
            work(&data);
            start.elapsed()
        });
        times.min().unwrap_or_default()
    };
    let (eighth, whole) = (time(1 << 17), time(1 << 20));
    assert!(
        whole < eighth * 24 + Duration::from_millis(5),
        "{name}: {eighth:?} became {whole:?}"
    );
}

/// A mebibyte of whatever makes the decoder look twice.
#[test]
fn text_takes_linear_time() {
    for pattern in [
        &b"\xed"[..],
        b"\xed\xa0\xbd",
        b"\xed\xa0\xbd\xed\xa0",
        b"\xed\xa0\xbd\xed\xb8\x80",
        b"\xe2\x82\xed\xa0\xbda",
        b"\xff",
    ] {
        let name = pattern.escape_ascii().to_string();
        let input = |size| pattern.iter().copied().cycle().take(size).collect();
        linear(&name, input, |data| {
            drop(std::hint::black_box(text::decode_text(data)));
        });
    }
    // Valid up to its last byte.
    let input = |size| [&vec![b'a'; size][..], b"\xed"].concat();
    linear("the last byte", input, |data| {
        drop(std::hint::black_box(text::decode_text(data)));
    });
}

#[test]
fn packages_and_protobuf_take_linear_time() {
    linear(
        "empty packages",
        |size| b"\x03\x00\x00\x00".repeat(size / 4),
        |data| {
            let mut stream = BytesMut::from(data);
            while let Ok(Some(package)) = Package::decode(&mut stream, 1) {
                std::hint::black_box(package);
            }
        },
    );
    linear(
        "empty messages",
        |size| long(0x0a, &b"\x12\x00".repeat(size / 2)),
        |data| {
            SCHEMA.decode("tree", data).unwrap();
        },
    );
}
