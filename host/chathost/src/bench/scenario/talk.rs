//! `fanout`, `mixed` and `limit`: people in rooms who talk.

use crate::bench::{
    Setting,
    crowd::Crowd,
    fleet::Fleet,
    limit::{self, Limit},
    meter::Part,
    options::BenchArgs,
    process::Process,
    random,
    rooms::{Done, Pace, Rooms, Talk, Target},
};
use std::time::Duration;

/// What is talked before it counts.
const WARM_UP: Duration = Duration::from_millis(500);
const NONE: Done = Done {
    before: 0.0,
    share: 0.0,
};

/// Rooms of one size.
pub(crate) fn fanout(args: &BenchArgs, setting: &Setting) -> anyhow::Result<Vec<Part>> {
    run(
        args,
        Some(setting),
        &sizes(args),
        args.senders,
        pace(args),
        args.with_limit,
    )
}

/// Rooms of all sizes, in which everybody talks.
pub(crate) fn mixed(args: &BenchArgs, setting: &Setting) -> anyhow::Result<Vec<Part>> {
    let sizes = random::zipf(args.users, args.rooms);
    let rate = sizes.iter().sum::<usize>() as f64 / args.think.max(0.001);
    run(
        args,
        Some(setting),
        &sizes,
        usize::MAX,
        Pace::People(rate),
        args.with_limit,
    )
}

/// No server at all.
pub(crate) fn limit(args: &BenchArgs) -> anyhow::Result<Vec<Part>> {
    run(args, None, &sizes(args), args.senders, pace(args), true)
}

fn sizes(args: &BenchArgs) -> Vec<usize> {
    vec![args.members.max(1); args.rooms]
}

fn pace(args: &BenchArgs) -> Pace {
    args.rate
        .map_or(Pace::Burst(args.burst), |rate| Pace::Rate(rate.max(0.001)))
}

fn run(
    args: &BenchArgs,
    setting: Option<&Setting>,
    sizes: &[usize],
    senders: usize,
    pace: Pace,
    with_limit: bool,
) -> anyhow::Result<Vec<Part>> {
    let mut fleet = Fleet::new()?;
    let mut talk = Talk { rooms: Vec::new() };
    let mut sample = None;
    if let Some(setting) = setting {
        let mut rooms = Rooms::new(Target::Server, 0, sizes, senders, pace, args.bytes);
        let names = rooms.rooms().map(|room| Some(setting.room(room as usize)));
        let mut crowd = Crowd::new(&setting.doors, names)?;
        crowd.enter(&mut fleet)?;
        setting.speaks_json(&fleet, "chat.chatHandler.send")?;
        rooms.watch(setting.process);
        talk.rooms.push(rooms);
        talk.round(&mut fleet, 0, WARM_UP, NONE)?;
        if let Some(rooms) = talk.rooms.first_mut() {
            sample = rooms.sample.clone();
            rooms.part = rooms.part.warmed_up();
        }
    }
    // Dropped, and ended, when the run has.
    let mut child = None;
    if with_limit {
        let limit = child.insert(Limit::start()?);
        let mut rooms = Rooms::new(Target::Limit, fleet.len(), sizes, senders, pace, args.bytes);
        for room in rooms.rooms() {
            let connection = fleet.connect_bare(limit.address)?;
            fleet.send_bytes(connection, &limit::hello(room));
        }
        super::wait(&mut fleet, rooms.rooms().count() as u64, 0)?;
        rooms.watch(Some(Process::new(limit.pid())));
        rooms.sample = Some(sample.unwrap_or_else(|| push(args.bytes)));
        talk.rooms.push(rooms);
        let last = talk.rooms.len() - 1;
        talk.round(&mut fleet, last, WARM_UP, NONE)?;
        if let Some(rooms) = talk.rooms.last_mut() {
            rooms.part = rooms.part.warmed_up();
        }
    }
    let rounds = args.rounds.max(1);
    let length = Duration::from_secs_f64(args.seconds / f64::from(rounds));
    for round in 0..rounds {
        let share = 1.0 / f64::from(rounds);
        let done = Done {
            before: f64::from(round) * share,
            share,
        };
        for which in 0..talk.rooms.len() {
            talk.round(&mut fleet, which, length, done)?;
        }
    }
    Ok(talk.rooms.into_iter().map(|rooms| rooms.part).collect())
}

/// What the demo's server would push, and where its marker is.
fn push(bytes: usize) -> (Vec<u8>, usize) {
    let mut message = b"\x06\x06onChat{\"route\":\"onChat\",\"msg\":\"".to_vec();
    let start = message.len();
    message.resize(start + bytes, b'.');
    message.extend_from_slice(br#"","from":"u0","target":"*"}"#);
    (message, start)
}
