//! Numbers that look random and are the same in every run.

/// An xorshift generator.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Any seed but 0.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.next().checked_rem(end as u64).unwrap_or(0) as usize
    }

    /// The gap between events that happen once a time on average, at any time.
    pub(crate) fn exponential(&mut self) -> f64 {
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - share).ln()
    }
}

/// How many of `people` are in each of `rooms` rooms, when the second has half as many as the first, the third a third,
/// and so on. Nobody is alone.
pub(crate) fn zipf(people: usize, rooms: usize) -> Vec<usize> {
    let weights: f64 = (1..=rooms).map(|rank| 1.0 / rank as f64).sum();
    let size = |rank: usize| (people as f64 / rank as f64 / weights).round() as usize;
    (1..=rooms).map(|rank| size(rank).max(2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages() {
        let mut random = Random::new(7);
        let gaps: f64 = (0..10_000).map(|_| random.exponential()).sum();
        assert!((9_500.0..10_500.0).contains(&gaps), "{gaps}");
        assert!((0..1000).all(|_| random.below(3) < 3));
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn rooms() {
        assert_eq!(zipf(110, 3), [60, 30, 20]);
        assert_eq!(zipf(3, 3), [2, 2, 2]);
    }
}
