//! "Did you mean": the known name that a mistyped one is nearest to. A leaf.

/// The nearest of some names, if it is near enough to have been meant.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |other: &&&str| edits(&name.to_lowercase(), &other.to_lowercase());
    let best = known.iter().min_by_key(distance)?;
    (distance(&best) <= 1 + name.len() / 3).then_some(best)
}

/// Letters to insert, delete or replace.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meant() {
        let known = ["heartbeat", "useDict", "limits"];
        assert_eq!(nearest("heartbeet", &known), Some("heartbeat"));
        assert_eq!(nearest("usedict", &known), Some("useDict"));
        assert_eq!(nearest("somethingElse", &known), None);
    }
}
