//! `join-storm`: many people enter one room, and leave it. In quarters, so that one sees whether a join gets dearer
//! beyond the notices that those who are there already get.

use crate::bench::{
    Setting,
    crowd::Crowd,
    fleet::{Event, Fleet, Listener},
    meter::Part,
    options::BenchArgs,
};
use std::time::Duration;

const PATIENCE: u64 = 5_000_000_000;

pub(crate) fn run(args: &BenchArgs, setting: &Setting) -> anyhow::Result<Vec<Part>> {
    let mut fleet = Fleet::new()?;
    let users = args.users;
    let mut crowd = Crowd::new(&setting.doors, (0..users).map(|_| Some(setting.room(0))))?;
    let mut parts = Vec::new();
    let quarter = |number: usize| users * number / 4;
    for number in 1..=4 {
        let (from, until) = (quarter(number - 1), quarter(number));
        let mut part = Part::new(format!("join to {until}"));
        let mark = Part::mark(&fleet, setting.process);
        crowd.enter_some(&mut fleet, until)?;
        let notices = pairs(until) - pairs(from);
        crowd.notices = wait(&mut fleet, notices, crowd.notices)?;
        part.end(&mark, &fleet, setting.process);
        part.meter.response = std::mem::take(&mut crowd.times);
        close(
            &mut part,
            until - from,
            notices,
            std::mem::take(&mut crowd.notices),
        );
        parts.push(part);
    }
    for number in 1..=3 {
        let (from, until) = (quarter(number - 1), quarter(number));
        let mut part = Part::new(format!("leave to {}", users - until));
        let mark = Part::mark(&fleet, setting.process);
        (from..until).for_each(|connection| fleet.close(connection));
        let notices = (until - from) as u64 * (users - until) as u64;
        let got = wait(&mut fleet, notices, 0)?;
        part.end(&mark, &fleet, setting.process);
        close(&mut part, until - from, notices, got);
        parts.push(part);
    }
    Ok(parts)
}

/// How many notices there are when so many have come: each hears of everybody who comes later.
fn pairs(people: usize) -> u64 {
    people as u64 * people.saturating_sub(1) as u64 / 2
}

/// Waits for notices; how many there were.
fn wait(fleet: &mut Fleet, wanted: u64, so_far: u64) -> anyhow::Result<u64> {
    let mut notices = Notices(so_far);
    let (mut last, mut before) = (fleet.now(), so_far);
    while notices.0 < wanted && fleet.now() < last + PATIENCE {
        fleet.turn(Duration::from_millis(50), &mut notices)?;
        if notices.0 != before {
            (last, before) = (fleet.now(), notices.0);
        }
    }
    Ok(notices.0)
}

fn close(part: &mut Part, people: usize, expected: u64, notices: u64) {
    let each = part.cpu_per(people as u64);
    let of_notice = part.cpu_per(notices);
    part.meter.expected = expected;
    part.meter.delivered = notices;
    part.note(
        "notices of each",
        notices as f64 / people.max(1) as f64,
        "on average",
    );
    if let (Some(each), Some(of_notice)) = (each, of_notice) {
        part.note("CPU of each", each, "µs");
        part.note("CPU of each notice, all in", of_notice, "µs");
    }
}

struct Notices(u64);

impl Listener for Notices {
    fn event(&mut self, _fleet: &mut Fleet, _connection: usize, _now: u64, event: Event<'_>) {
        if matches!(event, Event::Push { .. }) {
            self.0 += 1;
        }
    }
}
