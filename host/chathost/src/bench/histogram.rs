//! Times in buckets: exact below 64 ns, then within 1.6 %, up to hours.
//!
//! A fixed array, so that recording is two shifts and an addition. Nothing is known here of what was measured.

use serde_json::{Value, json};

/// Buckets per doubling.
const FINE: u32 = 6;
const STEPS: usize = 1 << FINE;
const BUCKETS: usize = STEPS * 40;

/// How often something took how long, in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            count: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// Counts one.
    pub(crate) fn record(&mut self, nanos: u64) {
        if let Some(bucket) = self.counts.get_mut(index(nanos)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        self.count = 0;
        self.max = 0;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// What this share of all is not above; 0 if there is nothing.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(at).min(self.max);
            }
        }
        self.max
    }

    /// The usual four, in microseconds.
    pub(crate) fn json(&self) -> Value {
        let micros = |nanos: u64| (nanos as f64 / 100.0).round() / 10.0;
        json!({
            "count": self.count,
            "p50": micros(self.quantile(0.5)),
            "p99": micros(self.quantile(0.99)),
            "p999": micros(self.quantile(0.999)),
            "max": micros(self.max),
        })
    }
}

fn index(nanos: u64) -> usize {
    let doubling = (63 - (nanos | 1).leading_zeros()).saturating_sub(FINE);
    let index = (doubling as usize) * STEPS + (nanos >> doubling) as usize;
    index.min(BUCKETS - 1)
}

/// The largest time of a bucket.
fn upper(index: usize) -> u64 {
    let doubling = (index / STEPS).saturating_sub(1);
    let step = (index - doubling * STEPS) as u64;
    ((step + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_put_into_them() {
        for nanos in [0, 1, 63, 64, 127, 128, 129, 1_000, 123_456, 7_000_000_000] {
            let upper = upper(index(nanos));
            assert!(
                upper >= nanos && upper as f64 <= nanos as f64 * 1.016 + 1.0,
                "{nanos}: {upper}"
            );
        }
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|micros| histogram.record(micros * 1000));
        for (share, expected) in [(0.5, 500_000.0), (0.99, 990_000.0), (0.999, 999_000.0)] {
            let got = histogram.quantile(share) as f64;
            assert!((got / expected - 1.0).abs() < 0.02, "{share}: {got}");
        }
        assert_eq!((histogram.max(), histogram.quantile(1.0)), (1_000_000, 1_000_000));
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}
