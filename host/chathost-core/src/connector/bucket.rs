//! The rate limit of one connection: a token bucket of twelve bytes.

use crate::config::LimitSettings;
use tokio::time::Instant;

/// What a message over the limit means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Within the limit.
    Fine,
    /// Over it: answered with 429.
    Over,
    /// Over it by a whole burst: the connection is closed.
    Flood,
}

/// Tokens from `burst` down to `-burst`: below zero a client is warned, at the bottom it is out.
#[derive(Debug)]
pub(crate) struct Bucket {
    tokens: f32,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(limits: &LimitSettings, now: Instant) -> Self {
        Self {
            tokens: limits.burst as f32,
            at: now,
        }
    }

    /// Counts a message that came at `now`.
    pub(crate) fn take(&mut self, limits: &LimitSettings, now: Instant) -> Rate {
        let refill = now.duration_since(self.at).as_secs_f32() * limits.messages_per_second as f32;
        self.at = now;
        let burst = limits.burst as f32;
        self.tokens = (self.tokens + refill).min(burst) - 1.0;
        match self.tokens {
            tokens if tokens >= 0.0 => Rate::Fine,
            tokens if tokens >= -burst => Rate::Over,
            _ => Rate::Flood,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn warned_then_out() {
        let limits = LimitSettings {
            messages_per_second: 10,
            burst: 3,
            ..LimitSettings::default()
        };
        let start = Instant::now();
        let mut bucket = Bucket::new(&limits, start);
        for expected in [
            Rate::Fine,
            Rate::Fine,
            Rate::Fine,
            Rate::Over,
            Rate::Over,
            Rate::Over,
            Rate::Flood,
        ] {
            assert_eq!(bucket.take(&limits, start), expected);
        }
        // Who pauses is forgiven.
        assert_eq!(bucket.take(&limits, start + Duration::from_secs(1)), Rate::Fine);
    }
}
