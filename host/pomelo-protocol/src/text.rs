//! Text on the wire: UTF-8, and what Pomelo's old JavaScript client takes for it.
//!
//! That client writes characters above U+FFFF as two surrogates of three bytes each (CESU-8) and cannot read their
//! UTF-8. So both are read, and what goes out says them in JSON's own escapes, which every client reads. Whether a text is
//! JSON is not asked here; the connector calls this for every body that has no schema.

use bytes::Bytes;
use std::{borrow::Cow, io::Write as _};

/// The text of some bytes: UTF-8 or CESU-8; anything else becomes U+FFFD, byte by byte as Node does it.
pub fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    // Each turn ends behind what it took, so a peer cannot make this look at a byte twice.
    while let Some(chunk) = rest.utf8_chunks().next() {
        text.push_str(chunk.valid());
        rest = &rest[chunk.valid().len()..];
        // UTF-8 takes a surrogate for broken, so a pair can only stand where a chunk's valid part ends.
        if let Some((pair, after)) = rest.split_first_chunk()
            && let Some(character) = surrogate_pair(pair)
        {
            text.push(character);
            rest = after;
        } else if !rest.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            rest = &rest[chunk.invalid().len()..];
        }
    }
    Cow::Owned(text)
}

/// Two surrogates of three bytes each.
fn surrogate_pair(bytes: &[u8; 6]) -> Option<char> {
    let [
        0xed,
        a @ 0xa0..=0xaf,
        b @ 0x80..=0xbf,
        0xed,
        c @ 0xb0..=0xbf,
        d @ 0x80..=0xbf,
    ] = *bytes
    else {
        return None;
    };
    let high = u32::from(a & 0x0f) << 6 | u32::from(b & 0x3f);
    let low = u32::from(c & 0x0f) << 6 | u32::from(d & 0x3f);
    char::from_u32(0x1_0000 + (high << 10 | low))
}

/// A body as valid UTF-8; the same bytes if they are that already.
pub fn normalize_json_text(body: Bytes) -> Bytes {
    match decode_text(&body) {
        Cow::Borrowed(_) => body,
        Cow::Owned(text) => text.into(),
    }
}

/// JSON whose characters above U+FFFF are pairs of `\u` escapes. They can only stand inside strings.
pub fn escape_astral(json: &[u8]) -> Cow<'_, [u8]> {
    if !json.iter().any(|&byte| byte >= 0xf0) {
        return Cow::Borrowed(json);
    }
    let Ok(text) = std::str::from_utf8(json) else {
        return Cow::Borrowed(json);
    };
    let mut escaped = Vec::with_capacity(json.len() + 32);
    let mut done = 0;
    for (place, character) in text
        .char_indices()
        .filter(|(_, character)| *character > '\u{ffff}')
    {
        escaped.extend_from_slice(&json[done..place]);
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Into memory, which takes everything.
            drop(write!(escaped, "\\u{unit:04X}"));
        }
        done = place + character.len_utf8();
    }
    escaped.extend_from_slice(&json[done..]);
    Cow::Owned(escaped)
}

/// Text as the old JavaScript client writes and reads it: characters above U+FFFF as two surrogates.
pub(crate) fn encode_cesu8(text: &str, dst: &mut Vec<u8>) {
    for character in text.chars() {
        if character <= '\u{ffff}' {
            dst.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let [high, low] = unit.to_be_bytes();
            dst.extend_from_slice(&[
                0xe0 | high >> 4,
                0x80 | (high & 0x0f) << 2 | low >> 6,
                0x80 | low & 0x3f,
            ]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrogates_in_and_escapes_out() {
        let cesu = b"{\"a\":\"x\xed\xa0\xbd\xed\xb8\x80y\"}";
        let text = normalize_json_text(Bytes::from_static(cesu));
        assert_eq!(text, "{\"a\":\"x😀y\"}");
        assert_eq!(&escape_astral(&text)[..], br#"{"a":"x\uD83D\uDE00y"}"#);
        assert_eq!(
            decode_text(b"\xed\xa0\xbd"),
            "\u{fffd}\u{fffd}\u{fffd}",
            "a surrogate alone"
        );
        assert_eq!(
            decode_text(b"a\xffb\xed\xa0\xbd\xed\xb8\x80c\xfe"),
            "a\u{fffd}b😀c\u{fffd}"
        );
        let mut cesu = Vec::new();
        encode_cesu8("é中😀", &mut cesu);
        assert_eq!(decode_text(&cesu), "é中😀");
        assert_eq!(cesu.len(), 2 + 3 + 6);
    }
}
