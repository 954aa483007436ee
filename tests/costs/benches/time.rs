//! The time of each case: `cargo bench -p chathost-costs`, or `… -- push/` for some of them.
#![allow(clippy::unwrap_used, reason = "a measurement ends where it cannot go on")]

use chathost_costs::{build_plugin, cases::CASES, meter::Meter};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use std::{path::Path, time::Duration};

/// What one operation reaches this many of is not done as often, or clean-up would take minutes.
const MANY: u64 = 1000;

fn main() {
    let program = Path::new(env!("CARGO_BIN_EXE_chathost-costs"));
    build_plugin(program).unwrap();
    let mut criterion = Criterion::default().configure_from_args();
    for case in CASES {
        let (group, name) = case.name.split_once('/').unwrap();
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements(case.elements));
        group
            .measurement_time(Duration::from_secs(2))
            .warm_up_time(Duration::from_millis(500));
        if case.elements >= MANY {
            group.sampling_mode(SamplingMode::Flat).sample_size(10);
            group
                .measurement_time(Duration::from_millis(100))
                .warm_up_time(Duration::from_millis(1));
        }
        // Only what is asked for is prepared.
        let mut routine = None;
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|operations| {
                let mut meter = Meter::new(operations);
                routine.get_or_insert_with(|| (case.prepare)(program))(&mut meter);
                meter.elapsed()
            });
        });
        group.finish();
    }
    criterion.final_summary();
}
