//! Pomelo's protobuf dialect: bytes recorded from the original, in both directions, and what it gets wrong.
//!
//! Where ours is better on purpose, the test says so and why.

// A helper of a test may fail as the test may.
#![allow(clippy::unwrap_used)]

mod support;

use pomelo_protocol::{Astral, Protos};
use serde_json::{Value, value::RawValue};
use support::{hex, path, rows, same, vectors};

/// A vector with its input as text: the order of its fields is what the bytes follow.
#[derive(serde::Deserialize)]
struct Row<'a> {
    route: &'a str,
    #[serde(borrow)]
    input: &'a RawValue,
    hex: Option<String>,
    error: Option<String>,
    decoded: Option<Value>,
}

#[derive(serde::Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    schemas: &'a RawValue,
    #[serde(borrow)]
    parsed: &'a RawValue,
    #[serde(borrow)]
    vectors: Vec<Row<'a>>,
}

#[test]
fn vectors_in_both_directions() {
    let text = std::fs::read_to_string(path("protobuf.json")).unwrap();
    let file: File<'_> = serde_json::from_str(&text).unwrap();
    let protos = Protos::new(file.schemas.get(), file.schemas.get()).unwrap();
    let without_blanks = |text: &str| text.replace([' ', '\n'], "");
    assert_eq!(
        without_blanks(protos.server.json()),
        without_blanks(file.parsed.get()),
        "what clients are told, in the order of the original"
    );
    assert!(file.vectors.len() > 60);
    for row in &file.vectors {
        let input = row.input.get();
        let encoded = protos.server.encode(row.route, input.as_bytes(), Astral::Utf8);
        let Some(expected) = &row.hex else {
            if row.error.is_some() {
                // The original allots too little for many small doubles and throws. Ours writes them.
                let decoded = protos.client.decode(row.route, &encoded.unwrap()).unwrap();
                assert!(same(&json(&decoded), &json(input.as_bytes())), "{input}");
            } else {
                // Refused, or nothing to write: the original sends both empty, and so does whoever calls ours.
                assert!(encoded.unwrap_or_default().is_empty(), "{input}");
            }
            continue;
        };
        let expected = hex(&Value::from(expected.as_str()));
        assert_eq!(encoded.unwrap(), expected, "{} {input}", row.route);
        let decoded = protos.client.decode(row.route, &expected).unwrap();
        assert!(same(&json(&decoded), row.decoded.as_ref().unwrap()), "{input}");
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
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
        // JavaScript would let the second one win, but the first is written already.
        r#"{"msg":"a","msg":"b","from":"f"}"#,
        "[]",
        "",
        "{",
        "null",
        r#"{"msg":"m","from":"f","target":"*"}x"#,
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

#[test]
fn numbers() {
    let schema =
        r#"{"r":{"optional uInt32 u":1,"optional sInt32 s":2,"optional float f":3,"optional double d":4}}"#;
    let protos = Protos::new(schema, schema).unwrap();
    let encode = |text: &str| protos.server.encode("r", text.as_bytes(), Astral::Utf8);
    // The largest whole numbers that JavaScript is sure of; doubles that only an exact reader gets right.
    for text in [
        r#"{"u":9007199254740991}"#,
        r#"{"s":-4503599627370495}"#,
        r#"{"d":2.2250738585072011e-308}"#,
        r#"{"d":47.66552979443222}"#,
        r#"{"d":-0}"#,
    ] {
        let decoded = protos.client.decode("r", &encode(text).unwrap()).unwrap();
        assert!(same(&json(&decoded), &json(text.as_bytes())), "{text}");
    }
    assert_eq!(encode(r#"{"u":"12"}"#), encode(r#"{"u":12.9}"#));
    assert_eq!(encode(r#"{"u":null,"f":null}"#).unwrap(), b"");
    for misfit in [
        r#"{"u":-1}"#,
        r#"{"u":9007199254740993}"#,
        r#"{"u":1e300}"#,
        r#"{"u":"x"}"#,
        r#"{"u":true}"#,
        r#"{"s":4503599627370497}"#,
        r#"{"d":"inf"}"#,
        r#"{"f":"NaN"}"#,
        r#"{"f":[]}"#,
    ] {
        assert!(encode(misfit).is_err(), "{misfit}");
    }
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
    // Nor is written what could not be read.
    let schema = r#"{"message A":{"optional A a":1},"r":{"required A a":1}}"#;
    let endless = Protos::new(schema, schema).unwrap();
    let nested = |depth: usize| format!("{}{}", "{\"a\":".repeat(depth) + "{}", "}".repeat(depth));
    for (depth, fits) in [(1, true), (32, true), (33, false), (120, false), (100_000, false)] {
        let text = nested(depth);
        let encoded = endless.server.encode("r", text.as_bytes(), Astral::Utf8);
        assert_eq!(encoded.is_ok(), fits, "{depth}");
        if let Ok(bytes) = encoded {
            assert_eq!(endless.client.decode("r", &bytes).unwrap(), text.as_bytes());
        }
    }
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
        (r#"{"r":{},"r":{}}"#, "\"r\" stands there twice"),
        (r#"{"r":{"message A b":{}}}"#, "one name"),
        (r#"{"r":{"required string __tags":1}}"#, "cannot be called"),
        (r#"{"r":{"required uInt64 a":1}}"#, "no type uInt64"),
        // Clients do not look for types in between, and would misread the message.
        (
            r#"{"r":{"message A":{},"message B":{"required A a":1},"required B b":1}}"#,
            "r.B: \"required A a\": no type A",
        ),
    ] {
        let error = Protos::new(schema, "").unwrap_err().to_string();
        assert!(
            error.starts_with("serverProtos.json: ") && error.contains(complaint),
            "{schema}: {error}"
        );
    }
}
