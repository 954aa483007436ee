//! One file per scenario, and what several need.

pub(crate) mod idle;
pub(crate) mod join;
pub(crate) mod latency;
pub(crate) mod saturate;
pub(crate) mod talk;

use super::fleet::{Event, Fleet, Listener};
use std::time::Duration;

const PATIENCE: u64 = 5_000_000_000;

/// Waits for so many pushes, or until none has come for 5 s; how many there were.
fn wait(fleet: &mut Fleet, wanted: u64, so_far: u64) -> anyhow::Result<u64> {
    let mut pushes = Pushes(so_far);
    let (mut last, mut before) = (fleet.now(), so_far);
    while pushes.0 < wanted && fleet.now() < last + PATIENCE {
        fleet.turn(Duration::from_millis(50), &mut pushes)?;
        if pushes.0 != before {
            (last, before) = (fleet.now(), pushes.0);
        }
    }
    Ok(pushes.0)
}

struct Pushes(u64);

impl Listener for Pushes {
    fn event(&mut self, _fleet: &mut Fleet, _connection: usize, _now: u64, event: Event<'_>) {
        if matches!(event, Event::Push { .. }) {
            self.0 += 1;
        }
    }
}
