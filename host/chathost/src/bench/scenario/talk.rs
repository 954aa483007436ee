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
    rooms::{Pace, Rooms, Target},
    round::{Done, Talk},
};
use std::time::Duration;

/// What is talked before it counts.
const WARM_UP: Duration = Duration::from_millis(500);
pub(super) const NONE: Done = Done {
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
        args.with_limit || args.gather,
    )
}

/// Rooms of all sizes, in which everybody talks.
pub(crate) fn mixed(args: &BenchArgs, setting: &Setting) -> anyhow::Result<Vec<Part>> {
    let sizes = random::zipf(args.users, args.rooms);
    let rate = sizes.iter().sum::<usize>() as f64 / args.think;
    run(
        args,
        Some(setting),
        &sizes,
        usize::MAX,
        Pace::People(rate),
        args.with_limit || args.gather,
    )
}

/// No server at all.
pub(crate) fn limit(args: &BenchArgs) -> anyhow::Result<Vec<Part>> {
    run(args, None, &sizes(args), args.senders, pace(args), true)
}

pub(super) fn sizes(args: &BenchArgs) -> Vec<usize> {
    vec![args.members; args.rooms]
}

fn pace(args: &BenchArgs) -> Pace {
    args.rate.map_or(Pace::Burst(args.burst), Pace::Rate)
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
    if let Some(setting) = setting {
        let rooms = Rooms::new(Target::Server, 0, sizes, senders, pace, args.bytes);
        add_server(&mut talk, &mut fleet, setting, rooms, 0)?;
    }
    // Dropped, and ended, when the run has.
    let mut child = None;
    if with_limit {
        let limit = child.insert(Limit::start(args.gather)?);
        let rooms = Rooms::new(Target::Limit, fleet.len(), sizes, senders, pace, args.bytes);
        add_limit(&mut talk, &mut fleet, limit, rooms, args.bytes)?;
    }
    let rounds = args.rounds;
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

/// Lets people into the server's rooms, of which the first has this number, and lets them talk for a moment.
pub(super) fn add_server(
    talk: &mut Talk,
    fleet: &mut Fleet,
    setting: &Setting,
    mut rooms: Rooms,
    first_room: usize,
) -> anyhow::Result<()> {
    let names = rooms.rooms().map(|room| Some(setting.room(first_room + room)));
    Crowd::new(&setting.doors, names)?.enter(fleet)?;
    setting.speaks_json(fleet, "chat.chatHandler.send")?;
    rooms.watch(setting.process);
    talk.rooms.push(rooms);
    warm_up(talk, fleet)
}

/// Lets the same people into a limit's rooms. What it will write is what the server delivered, if there is a server.
pub(super) fn add_limit(
    talk: &mut Talk,
    fleet: &mut Fleet,
    limit: &Limit,
    mut rooms: Rooms,
    bytes: usize,
) -> anyhow::Result<()> {
    for room in rooms.rooms() {
        let connection = fleet.connect_bare(limit.address)?;
        fleet.send_bytes(connection, &limit::hello(room as u32));
    }
    super::wait(fleet, rooms.rooms().count() as u64, 0)?;
    rooms.watch(Some(Process::new(limit.pid())));
    let sample = talk.rooms.first().and_then(|server| server.sample.clone());
    rooms.sample = Some(sample.unwrap_or_else(|| push(bytes)));
    talk.rooms.push(rooms);
    warm_up(talk, fleet)
}

fn warm_up(talk: &mut Talk, fleet: &mut Fleet) -> anyhow::Result<()> {
    let last = talk.rooms.len() - 1;
    talk.round(fleet, last, WARM_UP, NONE)?;
    if let Some(rooms) = talk.rooms.last_mut() {
        rooms.part.all_refused()?;
        rooms.part = rooms.part.warmed_up();
    }
    Ok(())
}

/// What the demo's server would push, and where its marker is.
fn push(bytes: usize) -> (Vec<u8>, usize) {
    let mut message = b"\x06\x06onChat{\"route\":\"onChat\",\"msg\":\"".to_vec();
    let start = message.len();
    message.resize(start + bytes, b'.');
    message.extend_from_slice(br#"","from":"u0","target":"*"}"#);
    (message, start)
}
