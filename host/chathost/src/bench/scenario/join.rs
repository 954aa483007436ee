//! `join-storm`: many people enter one room, and leave it. In quarters, so that one sees whether a join gets dearer
//! beyond the notices that those who are there already get.

use super::wait;
use crate::bench::{Setting, crowd::Crowd, fleet::Fleet, meter::Part, options::BenchArgs};

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
