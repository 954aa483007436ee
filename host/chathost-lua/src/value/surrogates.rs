//! Half an emoji in JSON: `"\ud83d"` without its other half.
//!
//! JavaScript strings may hold one, `JSON.stringify` writes it, and JavaScript reads it again; text that is UTF-8
//! cannot. It becomes U+FFFD, which is what a Node server shows in its place. Only text that serde has refused comes
//! here, so this is not on the way of ordinary messages.

/// The text with every lone surrogate replaced; `None` if there is none.
pub(super) fn mend(text: &[u8]) -> Option<Vec<u8>> {
    let mut mended = None;
    let mut at = 0;
    while at < text.len() {
        let step = match escape(text, at) {
            Escape::None => 1,
            Escape::Other => 2,
            Escape::Low => {
                replace(mended.get_or_insert_with(|| text.to_vec()), at);
                6
            }
            Escape::High if matches!(escape(text, at + 6), Escape::Low) => 12,
            Escape::High => {
                replace(mended.get_or_insert_with(|| text.to_vec()), at);
                6
            }
        };
        at += step;
    }
    mended
}

enum Escape {
    /// An ordinary byte.
    None,
    /// Any escape that is not a surrogate.
    Other,
    High,
    Low,
}

fn escape(text: &[u8], at: usize) -> Escape {
    if text.get(at) != Some(&b'\\') {
        return Escape::None;
    }
    let code = text
        .get(at + 1..at + 6)
        .and_then(|escape| escape.strip_prefix(b"u"))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| u16::from_str_radix(digits, 16).ok());
    match code {
        Some(0xD800..=0xDBFF) => Escape::High,
        Some(0xDC00..=0xDFFF) => Escape::Low,
        _ => Escape::Other,
    }
}

fn replace(text: &mut [u8], at: usize) {
    if let Some(escape) = text.get_mut(at..at + 6) {
        escape.copy_from_slice(br"\uFFFD");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(
            mend(text.as_bytes())
                .map(|text| String::from_utf8(text).unwrap())
                .as_deref(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn lone_halves_are_replaced_and_pairs_are_not() {
        check(r#""plain""#, None);
        check(r#""\ud83d\ude00""#, None);
        check(r#""\ud83d""#, Some(r#""\uFFFD""#));
        check(r#""\ude00x""#, Some(r#""\uFFFDx""#));
        check(r#""\ud83d\ud83d\ude00""#, Some(r#""\uFFFD\ud83d\ude00""#));
        check(r#""\ude00\ud83d""#, Some(r#""\uFFFD\uFFFD""#));
    }

    #[test]
    fn an_escaped_backslash_is_no_escape() {
        check(r#""\\ud83d""#, None);
        check(r#""\\\ud83d""#, Some(r#""\\\uFFFD""#));
        check(r#""\ud8"#, None);
        check("\"\\", None);
    }
}
