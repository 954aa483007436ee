//! What the tests of the vectors share: the recorded files, and their hexadecimal bytes.
//!
//! Not a test itself; each test file takes it in as a module.

// One file's needs are not the other's.
#![allow(dead_code, unreachable_pub)]

use serde_json::Value;

/// Where a file of vectors is.
pub fn path(file: &str) -> String {
    format!("{}/../../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"))
}

/// A file of vectors.
pub fn vectors(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(file)).unwrap()).unwrap()
}

/// The bytes that hexadecimal digits stand for; none for what is no text.
pub fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// The entries of a table.
pub fn rows<'a>(file: &'a Value, table: &str) -> &'a Vec<Value> {
    file[table].as_array().unwrap()
}

/// Whether two values are the same; 1 and 1.0 are one number.
pub fn same(a: &Value, b: &Value) -> bool {
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
