//! What a script learns from outside and cannot compute: the time, chance, and where its `print` goes.
//!
//! Replaceable, so that a test of a handler can say what time it is. Everything else that reaches a script is an
//! argument of its handler or an answer of the host's API.

use crate::error::Location;
use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant, SystemTime},
};

/// The outside of a VM.
pub trait World: std::fmt::Debug {
    /// `os.time()`, `os.date()`: the time since the beginning of 1970.
    fn time(&self) -> Duration;

    /// `os.clock()`: a clock for measuring, which never goes back.
    fn clock(&self) -> Duration;

    /// Any number; what `math.random` begins with.
    fn random(&self) -> u64;

    /// A line that a script prints, and where it does.
    fn print(&self, at: Option<Location>, line: &str);
}

/// The real one. Its chance is good enough for games, not for secrets; what is printed goes to the log.
#[derive(Debug)]
pub struct RealWorld {
    start: Instant,
}

impl Default for RealWorld {
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl World for RealWorld {
    fn time(&self) -> Duration {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    fn clock(&self) -> Duration {
        self.start.elapsed()
    }

    fn random(&self) -> u64 {
        RandomState::new().hash_one(self.start.elapsed().as_nanos())
    }

    fn print(&self, at: Option<Location>, line: &str) {
        match at {
            Some(at) => tracing::info!(target: "script", %at, "{line}"),
            None => tracing::info!(target: "script", "{line}"),
        }
    }
}

/// A sequence of numbers that looks random and depends on where it began only: the SplitMix64 generator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly from 0 (included) to 1 (not).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Evenly below `bound`, which may not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 128-bit product; its bias is below 2^-11 for any bound a double can say.
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_even_and_repeats() {
        let mut chance = Chance::new(42);
        let mut counts = [0; 6];
        for _ in 0..6000 {
            counts[usize::try_from(chance.below(6)).unwrap()] += 1;
            assert!((0.0..1.0).contains(&chance.unit()));
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
        assert_eq!(Chance::new(7).unit().to_bits(), Chance::new(7).unit().to_bits());
    }
}
