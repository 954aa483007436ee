//! Pomelo's default dispatch: which of `n` servers a key belongs to.
//!
//! A leaf. The rule is that of `crc` 0.2.0 and `Math.abs(crc32(key)) % n`: each UTF-16 unit is cut to its low byte, and
//! the checksum is a *signed* 32-bit number, so half of all keys go elsewhere than an unsigned crc32 would send them.

use crc32fast::Hasher;

/// The checksum as the original computes it.
pub fn crc32(key: &str) -> i32 {
    if key.is_ascii() {
        return crc32fast::hash(key.as_bytes()).cast_signed();
    }
    let mut hasher = Hasher::new();
    for unit in key.encode_utf16() {
        hasher.update(&[unit.to_le_bytes()[0]]);
    }
    hasher.finalize().cast_signed()
}

/// The place of `key` among `n` servers; `None` when there are none.
pub fn place(key: &str, n: usize) -> Option<usize> {
    (crc32(key).unsigned_abs() as usize).checked_rem(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Every key of the recorded `dispatch` table lands where the original put it.
    #[test]
    fn recorded_dispatch() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/protocol.json");
        let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let table = vectors["dispatch"].as_array().unwrap();
        assert!(table.len() > 20);
        for row in table {
            let units: Vec<u16> = row["utf16"]
                .as_array()
                .unwrap()
                .iter()
                .map(|u| u.as_u64().unwrap() as u16)
                .collect();
            // A lone surrogate has no place in a Rust string; none of the recorded keys has one.
            let key = String::from_utf16(&units).unwrap();
            assert_eq!(
                i64::from(crc32(&key)),
                row["crc32_signed"].as_i64().unwrap(),
                "{key}"
            );
            for (n, index) in row["index"].as_object().unwrap() {
                assert_eq!(
                    place(&key, n.parse().unwrap()),
                    Some(index.as_u64().unwrap() as usize),
                    "{key} of {n}"
                );
            }
        }
        assert_eq!(place("anybody", 0), None);
    }
}
