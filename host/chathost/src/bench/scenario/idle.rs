//! `idle`: many connections that only answer heartbeats. How fast they come, what each costs, whether all are answered.

use crate::bench::{
    Setting,
    crowd::Crowd,
    fleet::{Event, Fleet, Listener},
    meter::Part,
    options::BenchArgs,
    process::Process,
};
use std::time::Duration;

/// How long the last heartbeats may take.
const PATIENCE: u64 = 2_000_000_000;

struct Idle {
    part: Part,
}

pub(crate) fn run(args: &BenchArgs, setting: &Setting) -> anyhow::Result<Vec<Part>> {
    let mut fleet = Fleet::new()?;
    let memory = setting.process.and_then(Process::memory);
    let room = |number: usize| args.enter.then(|| setting.room(number / args.members.max(1)));
    let mut crowd = Crowd::new(&setting.doors, (0..args.connections).map(room))?;
    let mut part = Part::new("connecting");
    let mark = Part::mark(&fleet, setting.process);
    crowd.enter(&mut fleet)?;
    part.end(&mark, &fleet, setting.process);
    part.meter.response = crowd.times;
    if let (Some(before), Some(after)) = (memory, part.memory) {
        let each = after.saturating_sub(before) as f64 / args.connections.max(1) as f64;
        part.note("memory of each connection", each, "bytes");
    }

    let mut idle = Idle {
        part: Part::new("holding"),
    };
    let mark = Part::mark(&fleet, setting.process);
    let began = fleet.now();
    let length = (args.seconds * 1e9) as u64;
    while fleet.now() < began + length {
        fleet.turn(Duration::from_millis(50), &mut idle)?;
        let now = fleet.now();
        idle.part.meter.look(setting.process, now);
        idle.part
            .meter
            .tick("idle", now, (now - began) as f64 / length.max(1) as f64);
    }
    idle.part.end(&mark, &fleet, setting.process);
    let open = (0..fleet.len()).filter(|&number| fleet.is_open(number)).count();
    idle.part.note("connections in the end", open as f64, "open");
    // Those that are on their way count, too.
    let sent = fleet.beats_sent;
    let end = fleet.now();
    while fleet.beats_answered < sent && fleet.now() < end + PATIENCE {
        fleet.stop_beats();
        fleet.turn(Duration::from_millis(50), &mut idle)?;
    }
    idle.part.note("heartbeats since the begin", sent as f64, "sent");
    let answered = fleet.beats_answered as f64;
    idle.part.note("heartbeats since the begin", answered, "answered");
    Ok(vec![part, idle.part])
}

impl Listener for Idle {
    fn event(&mut self, _fleet: &mut Fleet, _connection: usize, _now: u64, event: Event<'_>) {
        match event {
            Event::Beat(nanos) => self.part.meter.beat.record(nanos),
            Event::Closed(why) => self.part.meter.fail(why),
            Event::Ready | Event::Response { .. } | Event::Push { .. } => {}
        }
    }
}
