//! The search for the highest rate at which somebody keeps up. It knows nothing of servers: what "keeps up" means is
//! the caller's, who tries a rate and says so.

/// How close the search comes.
const CLOSE: f64 = 1.06;
/// How far it goes at once while it knows no rate that is too high, or none that is low enough.
const STEP: f64 = 2.0;
/// Rates that nobody tries beyond.
const LOWEST: f64 = 0.5;
const HIGHEST: f64 = 1e7;

/// The highest rate, to within 6 %, that `keeps_up` said yes to; `None` if it never did. Begins at `start`, doubles or
/// halves until it has one of each, and then goes between them.
pub(crate) fn highest<E>(
    start: f64,
    mut keeps_up: impl FnMut(f64) -> Result<bool, E>,
) -> Result<Option<f64>, E> {
    let (mut good, mut bad) = (None, None);
    let mut rate = start.clamp(LOWEST, HIGHEST);
    loop {
        if keeps_up(rate)? {
            good = Some(rate);
        } else {
            bad = Some(rate);
        }
        rate = match (good, bad) {
            (Some(good), Some(bad)) if bad / good <= CLOSE => return Ok(Some(good)),
            (Some(good), Some(bad)) => f64::sqrt(good * bad),
            (Some(good), None) if good >= HIGHEST => return Ok(Some(good)),
            (Some(good), None) => (good * STEP).min(HIGHEST),
            (None, Some(bad)) if bad <= LOWEST => return Ok(None),
            (None, Some(bad)) => (bad / STEP).max(LOWEST),
            (None, None) => return Ok(None),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// A server that keeps up until `limit`: what the search finds, and the rates it tried.
    fn search(start: f64, limit: f64) -> (Option<f64>, Vec<f64>) {
        let mut tried = Vec::new();
        let found = highest(start, |rate| {
            tried.push(rate);
            Ok::<_, Infallible>(rate <= limit)
        });
        (found.unwrap(), tried)
    }

    #[test]
    fn finds_the_limit_from_anywhere() {
        for start in [0.0, 1.0, 700.0, 5e6, f64::INFINITY] {
            for limit in [0.7, 33.0, 1000.0, 123_456.0, 5e6] {
                let (found, tried) = search(start, limit);
                let found = found.unwrap();
                assert!(
                    found <= limit && found * CLOSE >= limit,
                    "{start} {limit}: {found}"
                );
                assert!(tried.len() < 40, "{start} {limit}: {tried:?}");
            }
        }
    }

    #[test]
    fn ends_where_nothing_or_everything_keeps_up() {
        assert_eq!(search(100.0, 0.0).0, None);
        assert_eq!(search(100.0, f64::INFINITY).0, Some(HIGHEST));
    }

    #[test]
    fn never_tries_more_than_twice_what_was_good() {
        let (_, tried) = search(10.0, 1000.0);
        let highest = tried.iter().copied().fold(0.0, f64::max);
        assert!(highest <= 2000.0, "{tried:?}");
    }

    #[test]
    fn a_trial_that_fails_ends_it() {
        assert_eq!(highest(10.0, |_| Err::<bool, _>("gone")), Err("gone"));
    }

    /// One bad moment costs accuracy, and no more: it does not end in nonsense.
    #[test]
    fn one_wrong_no() {
        let mut trials = 0;
        let found = highest(100.0, |rate| {
            trials += 1;
            Ok::<_, Infallible>(rate <= 1000.0 && trials != 3)
        });
        let found = found.unwrap().unwrap();
        assert!((200.0..=400.0).contains(&found), "{found}");
    }
}
