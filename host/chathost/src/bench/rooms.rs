//! People in rooms who talk: what `fanout`, `mixed` and `limit` have in common.
//!
//! A [`Rooms`] knows who is where, says messages at its [`Pace`], and checks that every member gets every message once
//! and in order. Its connections are those of a server, or those of a limit, which is sent the bytes that the server
//! delivered. How people came into the rooms is `crowd.rs`'s.

use super::{
    fleet::{Event, Fleet, Listener},
    limit,
    marker::{Arrival, Marker, Track},
    meter::Part,
    process::Process,
    random::Random,
    refusal, wire,
};
use serde_json::json;
use std::{collections::VecDeque, io, time::Duration};

/// How long a message may take before its sender goes on without it.
const STALLED: u64 = 2_000_000_000;
/// How long a refused sender is silent.
const REFUSED: u64 = 10_000_000;
/// Messages of one sender that are watched until their last member has them.
const WATCHED: usize = 100_000;

/// When something is said.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Closed loop: each sender says this many messages, waits until all members have them, and says the next.
    Burst(u32),
    /// Open loop: this many messages per second, by the senders in turn.
    Rate(f64),
    /// Open loop: this many per second, by anybody at any time.
    People(f64),
}

/// Whose connections these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Server,
    Limit,
}

/// People in rooms.
#[derive(Debug)]
pub(crate) struct Rooms {
    target: Target,
    process: Option<Process>,
    /// The first of their connections; they follow each other room by room.
    base: usize,
    users: Vec<User>,
    senders: Vec<Sender>,
    pace: Pace,
    /// Bytes of a message's content.
    content: usize,
    /// A delivered message, and where its marker begins.
    pub(crate) sample: Option<(Vec<u8>, usize)>,
    pub(crate) part: Part,
    talking: bool,
    due: u64,
    turn: usize,
    random: Random,
    /// Senders that were refused or wait in vain, and when they go on.
    later: VecDeque<(u64, usize)>,
}

#[derive(Debug)]
struct User {
    /// The first of its room's senders.
    first_sender: usize,
    /// One per sender of the room.
    tracks: Vec<Track>,
}

#[derive(Debug)]
struct Sender {
    connection: usize,
    room: u32,
    members: u32,
    seq: u32,
    /// Messages that some members do not have, the oldest first.
    open: VecDeque<Open>,
}

#[derive(Debug)]
struct Open {
    seq: u32,
    left: u32,
    when: u64,
}

impl Rooms {
    /// People on the connections from `base`; `sizes`: members per room; `senders`: how many of them talk.
    pub(crate) fn new(
        target: Target,
        base: usize,
        sizes: &[usize],
        senders: usize,
        pace: Pace,
        content: usize,
    ) -> Self {
        let (mut users, mut all) = (Vec::new(), Vec::new());
        for (room, &members) in sizes.iter().enumerate() {
            let (first, count) = (all.len(), senders.min(members));
            all.extend((0..count).map(|offset| Sender {
                connection: base + users.len() + offset,
                room: room as u32,
                members: members as u32,
                seq: 0,
                open: VecDeque::new(),
            }));
            users.extend((0..members).map(|_| User {
                first_sender: first,
                tracks: vec![Track::default(); count],
            }));
        }
        Self {
            target,
            process: None,
            base,
            users,
            senders: all,
            pace,
            content,
            sample: None,
            part: Part::new(if target == Target::Server {
                "server"
            } else {
                "limit"
            }),
            talking: false,
            due: 0,
            turn: 0,
            random: Random::new(7),
            later: VecDeque::new(),
        }
    }

    pub(crate) fn watch(&mut self, process: Option<Process>) {
        self.process = process;
    }

    /// The room of each connection, in their order.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = u32> + '_ {
        let room = |user: &User| {
            self.senders
                .get(user.first_sender)
                .map_or(0, |sender| sender.room)
        };
        self.users.iter().map(room)
    }

    fn begin(&mut self, now: u64) {
        self.talking = true;
        self.due = now;
        self.later.clear();
        // What never came in an earlier round is lost, and nobody waits for it now.
        self.senders.iter_mut().for_each(|sender| sender.open.clear());
        if matches!(self.pace, Pace::Burst(_)) {
            self.later
                .extend((0..self.senders.len()).map(|sender| (0, sender)));
        }
    }

    /// Says what is due; how long until more is.
    fn work(&mut self, fleet: &mut Fleet, now: u64) -> Duration {
        if !self.talking {
            return Duration::from_millis(10);
        }
        let gap = match self.pace {
            Pace::Burst(burst) => {
                self.go_on(fleet, now, burst);
                return Duration::from_millis(5);
            }
            Pace::Rate(rate) | Pace::People(rate) => 1e9 / rate,
        };
        while self.due <= now {
            let people = matches!(self.pace, Pace::People(_));
            let next = if people {
                self.random.below(self.senders.len())
            } else {
                self.turn % self.senders.len().max(1)
            };
            self.turn += 1;
            // From when it should have been said: a bench that comes late does not flatter the server.
            self.say(fleet, next, self.due);
            let gap = if people {
                gap * self.random.exponential()
            } else {
                gap
            };
            self.due += gap.max(1.0) as u64;
        }
        Duration::from_nanos(self.due - now)
    }

    fn go_on(&mut self, fleet: &mut Fleet, now: u64, burst: u32) {
        while let Some(&(due, sender)) = self.later.front()
            && due <= now
        {
            self.later.pop_front();
            self.burst(fleet, sender, burst, now);
        }
        // A look at one sender per turn: whoever waits in vain is found soon enough.
        self.turn = (self.turn + 1) % self.senders.len().max(1);
        if let Some(sender) = self.senders.get_mut(self.turn)
            && sender.open.front().is_some_and(|open| open.when + STALLED < now)
        {
            sender.open.clear();
            self.part
                .meter
                .fail("messages that did not reach everybody in 2 s");
            self.later.push_back((now, self.turn));
        }
    }

    fn burst(&mut self, fleet: &mut Fleet, sender: usize, burst: u32, now: u64) {
        for _ in 0..burst {
            self.say(fleet, sender, now);
        }
    }

    fn say(&mut self, fleet: &mut Fleet, number: usize, when: u64) {
        let Some(sender) = self.senders.get_mut(number) else {
            return;
        };
        if !fleet.is_open(sender.connection) {
            return;
        }
        sender.seq += 1;
        sender.open.push_back(Open {
            seq: sender.seq,
            left: sender.members,
            when,
        });
        if sender.open.len() > WATCHED {
            sender.open.pop_front();
        }
        self.part.meter.expected += u64::from(sender.members);
        let marker = Marker {
            sender: number as u32,
            seq: sender.seq,
            nanos: when,
        };
        let text = marker.text(self.content);
        match self.target {
            Target::Server => {
                let body = json!({ "rid": "bench", "content": text, "from": "bench", "target": "*" });
                fleet.request_at(sender.connection, when, "chat.chatHandler.send", &body);
            }
            Target::Limit => {
                let Some((sample, start)) = &self.sample else {
                    return;
                };
                let mut message = sample.clone();
                if let Some(place) = message.get_mut(*start..*start + text.len()) {
                    place.copy_from_slice(text.as_bytes());
                }
                fleet.send_bytes(sender.connection, &limit::trigger(&wire::served(&message)));
            }
        }
    }

    fn event(&mut self, fleet: &mut Fleet, connection: usize, now: u64, event: Event<'_>) {
        match event {
            Event::Push { message, .. } => {
                if let Some((marker, start, _)) = Marker::find(message) {
                    if self.sample.is_none() {
                        self.sample = Some((message.to_vec(), start));
                    }
                    self.arrive(fleet, connection - self.base, now, marker);
                }
            }
            Event::Response { sent, body } => {
                // Not with `respond`: the plot is of deliveries.
                self.part.meter.response.record(now.saturating_sub(sent));
                if let Some(code) = refusal(body) {
                    self.part.meter.fail(&format!("refused with {code}"));
                    self.refused(connection, now, sent);
                }
            }
            Event::Closed(why) => self.part.meter.fail(why),
            Event::Ready | Event::Beat(_) => {}
        }
    }

    fn arrive(&mut self, fleet: &mut Fleet, user: usize, now: u64, marker: Marker) {
        let number = marker.sender as usize;
        let Some(user) = self.users.get_mut(user) else {
            return;
        };
        let track = number
            .checked_sub(user.first_sender)
            .and_then(|slot| user.tracks.get_mut(slot));
        let (Some(track), Some(sender)) = (track, self.senders.get_mut(number)) else {
            self.part.meter.fail("messages of another room");
            return;
        };
        let meter = &mut self.part.meter;
        match track.note(marker.seq) {
            Arrival::Ahead(_) => {}
            Arrival::Late => meter.disordered += 1,
            Arrival::Again => {
                meter.repeated += 1;
                return;
            }
        }
        meter.delivered += 1;
        meter.deliver(now.saturating_sub(marker.nanos));
        let Some(first) = sender.open.front().map(|open| open.seq) else {
            return;
        };
        let at = marker.seq.checked_sub(first).map(|at| at as usize);
        let Some(open) = at.and_then(|at| sender.open.get_mut(at)) else {
            return;
        };
        open.left = open.left.saturating_sub(1);
        if open.left == 0 {
            meter.complete.record(now.saturating_sub(open.when));
            self.settle(fleet, number, now);
        }
    }

    /// Forgets what everybody has; in a closed loop the next burst follows.
    fn settle(&mut self, fleet: &mut Fleet, number: usize, now: u64) {
        let Some(sender) = self.senders.get_mut(number) else {
            return;
        };
        while sender.open.front().is_some_and(|open| open.left == 0) {
            sender.open.pop_front();
        }
        if let Pace::Burst(burst) = self.pace
            && sender.open.is_empty()
            && self.talking
        {
            // Sent after this arrival was read, so its clock begins now and not when the turn began.
            let now = fleet.now().max(now);
            self.burst(fleet, number, burst, now);
        }
    }

    /// Nobody will get what this sender said then.
    fn refused(&mut self, connection: usize, now: u64, when: u64) {
        let mut senders = self.senders.iter_mut().enumerate();
        let Some((number, sender)) = senders.find(|(_, it)| it.connection == connection) else {
            return;
        };
        let whole = sender.members;
        let said = |open: &&mut Open| open.when == when && open.left == whole;
        let Some(open) = sender.open.iter_mut().find(said) else {
            return;
        };
        open.left = 0;
        self.part.meter.expected = self.part.meter.expected.saturating_sub(u64::from(whole));
        while sender.open.front().is_some_and(|open| open.left == 0) {
            sender.open.pop_front();
        }
        if sender.open.is_empty() && matches!(self.pace, Pace::Burst(_)) {
            self.later.push_back((now + REFUSED, number));
        }
    }
}

/// Where a round stands in the whole run: for the progress line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// What was done before it, of 1.
    pub(crate) before: f64,
    /// Its own share.
    pub(crate) share: f64,
}

/// One or two [`Rooms`] on one fleet.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) rooms: Vec<Rooms>,
}

impl Talk {
    /// Lets one of them talk, and waits until all is delivered or nothing more comes for 5 s.
    pub(crate) fn round(
        &mut self,
        fleet: &mut Fleet,
        which: usize,
        length: Duration,
        done: Done,
    ) -> io::Result<()> {
        let Some(rooms) = self.rooms.get_mut(which) else {
            return Ok(());
        };
        let mark = Part::mark(fleet, rooms.process);
        let began = fleet.now();
        let end = began + length.as_nanos() as u64;
        rooms.begin(began);
        let mut delivered = (rooms.part.meter.delivered, began);
        loop {
            let Some(rooms) = self.rooms.get_mut(which) else {
                return Ok(());
            };
            let now = fleet.now();
            rooms.talking = now < end;
            if rooms.part.meter.delivered != delivered.0 {
                delivered = (rooms.part.meter.delivered, now);
            }
            let silent = now.saturating_sub(delivered.1.max(end)) > 5_000_000_000;
            if !rooms.talking && (rooms.part.meter.lost() == 0 || silent) {
                let drained = (now.saturating_sub(end)) as f64 / 1e6;
                if !matches!(rooms.pace, Pace::Burst(_)) {
                    rooms
                        .part
                        .note_most("delivered after the end of a round, within", drained, "ms");
                }
                rooms.part.end(&mark, fleet, rooms.process);
                return Ok(());
            }
            let wait = rooms.work(fleet, now);
            let share = done.before + done.share * (now - began) as f64 / 1e9 / length.as_secs_f64();
            rooms.part.meter.tick(&rooms.part.name, now, share);
            fleet.turn(wait, self)?;
        }
    }
}

impl Listener for Talk {
    fn event(&mut self, fleet: &mut Fleet, connection: usize, now: u64, event: Event<'_>) {
        let mut rooms = self.rooms.iter_mut().rev();
        if let Some(rooms) = rooms.find(|rooms| connection >= rooms.base) {
            rooms.event(fleet, connection, now, event);
        }
    }
}
