//! People in rooms who talk: what `fanout`, `mixed` and `limit` have in common.
//!
//! A [`Rooms`] knows who is where, says messages at its [`Pace`], and checks that every member gets every message once
//! and in order. Its connections are those of a server, or those of a limit, which is sent the bytes that the server
//! delivered. How people came into the rooms is `crowd.rs`'s, and how long they talk is `round.rs`'s.

use super::{
    fleet::{Event, Fleet},
    limit,
    marker::{Arrival, Marker, Track},
    meter::Part,
    process::Process,
    random::Random,
    refusal, wire,
};
use serde_json::json;
use std::{collections::VecDeque, time::Duration};

/// How long a message may take before its sender goes on without it.
const STALLED: u64 = 2_000_000_000;
/// How long a refused sender is silent.
const REFUSED: u64 = 10_000_000;
/// Messages of one sender that are watched until their last member has them.
const WATCHED: usize = 1_000_000;

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
    pub(super) process: Option<Process>,
    /// The first of their connections; they follow each other room by room.
    pub(super) base: usize,
    users: Vec<User>,
    senders: Vec<Sender>,
    /// How many are in each room.
    present: Vec<u32>,
    pub(crate) pace: Pace,
    /// Bytes of a message's content.
    content: usize,
    /// A delivered message, and where its marker begins.
    pub(crate) sample: Option<(Vec<u8>, usize)>,
    pub(crate) part: Part,
    pub(super) talking: bool,
    due: u64,
    turn: usize,
    random: Random,
    /// Senders that were refused or wait in vain, and when they go on.
    later: VecDeque<(u64, usize)>,
    pub(super) backlog: Backlog,
    /// Messages of after the backlog that all members have: when they were said, and how long it took.
    pub(super) finished: Vec<(u64, u64)>,
}

/// What was said before some time.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// That time; 0 if nobody asks.
    before: u64,
    /// When the last of it came.
    pub(super) last: u64,
}

#[derive(Debug)]
struct User {
    room: usize,
    /// Its own place among the senders.
    sender: Option<usize>,
    /// The first of its room's senders.
    first_sender: usize,
    /// One per sender of the room.
    tracks: Vec<Track>,
}

#[derive(Debug)]
struct Sender {
    connection: usize,
    room: usize,
    seq: u32,
    /// Messages that some members do not have, the oldest first.
    open: VecDeque<Open>,
}

#[derive(Debug)]
struct Open {
    seq: u32,
    /// Members who should get it.
    of: u32,
    /// Those of them who did not.
    left: u32,
    when: u64,
    answered: bool,
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
                room,
                seq: 0,
                open: VecDeque::new(),
            }));
            users.extend((0..members).map(|member| User {
                room,
                sender: (member < count).then_some(first + member),
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
            present: sizes.iter().map(|&members| members as u32).collect(),
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
            backlog: Backlog::default(),
            finished: Vec::new(),
        }
    }

    pub(crate) fn watch(&mut self, process: Option<Process>) {
        self.process = process;
    }

    /// The room of each connection, in their order.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = usize> + '_ {
        self.users.iter().map(|user| user.room)
    }

    /// How many connections ended.
    pub(crate) fn gone(&self) -> usize {
        let present: u32 = self.present.iter().sum();
        self.users.len().saturating_sub(present as usize)
    }

    /// Whether all connections ended.
    pub(super) fn is_empty(&self) -> bool {
        self.gone() == self.users.len()
    }

    /// What was measured until now; what follows is another part.
    pub(crate) fn take_part(&mut self, next: &str) -> Part {
        std::mem::replace(&mut self.part, Part::new(next))
    }

    /// Whether a message that was said before this time is missing somewhere.
    pub(super) fn is_behind(&self, before: u64) -> bool {
        let missing = |open: &Open| open.left > 0 && open.when < before;
        let behind = |sender: &Sender| sender.open.front().is_some_and(missing);
        self.senders.iter().any(behind)
    }

    pub(super) fn begin(&mut self, now: u64) {
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

    /// Goes on talking, and tells what was said before this time from what comes now.
    pub(super) fn probe(&mut self, before: u64) {
        self.talking = true;
        self.due = before;
        self.backlog = Backlog { before, last: before };
        self.finished.clear();
    }

    /// Says what is due; how long until more is.
    pub(super) fn work(&mut self, fleet: &mut Fleet, now: u64) -> Duration {
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
            self.part.meter.late.record(now - self.due);
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
        let members = self.present.get(sender.room).copied().unwrap_or_default();
        if members == 0 {
            return;
        }
        sender.seq += 1;
        sender.open.push_back(Open {
            seq: sender.seq,
            of: members,
            left: members,
            when,
            answered: false,
        });
        if sender.open.len() > WATCHED {
            sender.open.pop_front();
        }
        self.part.meter.said += 1;
        self.part.meter.expected += u64::from(members);
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

    pub(super) fn event(&mut self, fleet: &mut Fleet, connection: usize, now: u64, event: Event<'_>) {
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
                let code = refusal(body);
                if let Some(code) = code {
                    self.part.meter.refuse(code, body);
                }
                self.answered(connection - self.base, now, sent, code.is_some());
            }
            Event::Closed(why) => {
                self.part.meter.fail(why);
                self.left(fleet, connection - self.base, now);
            }
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
        if marker.nanos < self.backlog.before {
            self.backlog.last = now;
        }
        meter.delivered += 1;
        meter.deliver(now.saturating_sub(marker.nanos));
        let first = sender.open.front().map(|open| open.seq);
        let at = first.and_then(|first| marker.seq.checked_sub(first));
        let open = at.and_then(|at| sender.open.get_mut(at as usize));
        let Some(open) = open.filter(|open| open.left > 0) else {
            // Nobody expected it any more, because its sender was closed or it came after the end of its round.
            meter.expected += 1;
            return;
        };
        open.left -= 1;
        if open.left == 0 {
            let took = now.saturating_sub(open.when);
            meter.complete.record(took);
            if (1..=open.when).contains(&self.backlog.before) {
                self.finished.push((open.when, took));
            }
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

    /// What a sender said then was answered. If it was refused, nobody will get it.
    fn answered(&mut self, user: usize, now: u64, when: u64, refused: bool) {
        let Some(number) = self.users.get(user).and_then(|user| user.sender) else {
            return;
        };
        let Some(sender) = self.senders.get_mut(number) else {
            return;
        };
        let first = sender.open.partition_point(|open| open.when < when);
        let mut said = sender
            .open
            .range_mut(first..)
            .take_while(|open| open.when == when);
        let Some(open) = said.find(|open| !open.answered && (!refused || open.left == open.of)) else {
            return;
        };
        open.answered = true;
        if !refused {
            return;
        }
        let nobody = u64::from(std::mem::take(&mut open.left));
        let meter = &mut self.part.meter;
        meter.expected = meter.expected.saturating_sub(nobody);
        while sender.open.front().is_some_and(|open| open.left == 0) {
            sender.open.pop_front();
        }
        if sender.open.is_empty() && matches!(self.pace, Pace::Burst(_)) {
            self.later.push_back((now + REFUSED, number));
        }
    }

    /// A connection ended. What it did not get is cut off, not lost; what it asked without an answer may come or not.
    fn left(&mut self, fleet: &mut Fleet, user: usize, now: u64) {
        let Some(user) = self.users.get(user) else {
            return;
        };
        if let Some(present) = self.present.get_mut(user.room) {
            *present = present.saturating_sub(1);
        }
        let (own, first) = (user.sender, user.first_sender);
        let (mut cut_off, mut unknown) = (0, 0);
        let senders = self.senders.iter_mut().skip(first);
        for (sender, track) in senders.zip(&user.tracks) {
            let missing = sender
                .open
                .iter_mut()
                .filter(|open| open.left > 0 && open.seq > track.last());
            for open in missing {
                open.left -= 1;
                open.of -= 1;
                cut_off += 1;
            }
        }
        if let Some(sender) = own.and_then(|own| self.senders.get_mut(own)) {
            for open in sender.open.iter_mut().filter(|open| !open.answered) {
                unknown += u64::from(std::mem::take(&mut open.left));
            }
        }
        let meter = &mut self.part.meter;
        meter.cut_off += cut_off;
        meter.expected = meter.expected.saturating_sub(cut_off + unknown);
        for number in first..first + user.tracks.len() {
            self.settle(fleet, number, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// One room, of whom the first talks; what the server says is said by the test.
    struct Room {
        _listener: TcpListener,
        fleet: Fleet,
        rooms: Rooms,
    }

    impl Room {
        fn of(members: usize) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut fleet = Fleet::new().unwrap();
            for _ in 0..members {
                fleet.connect_bare(listener.local_addr().unwrap()).unwrap();
            }
            Self {
                _listener: listener,
                fleet,
                rooms: Rooms::new(Target::Server, 0, &[members], 1, Pace::Rate(1.0), 40),
            }
        }

        fn say(&mut self, when: u64) {
            self.rooms.say(&mut self.fleet, 0, when);
        }

        /// A member gets the message with this number, which was said then.
        fn push(&mut self, member: usize, seq: u32, nanos: u64) {
            let sender = 0;
            let marker = Marker { sender, seq, nanos };
            let message = marker.text(40);
            let event = Event::Push {
                message: message.as_bytes(),
            };
            self.event(member, nanos + 10, event);
        }

        fn event(&mut self, member: usize, now: u64, event: Event<'_>) {
            if matches!(event, Event::Closed(_)) {
                self.fleet.close(member);
            }
            self.rooms.event(&mut self.fleet, member, now, event);
        }

        fn answer(&mut self, sent: u64, body: &[u8]) {
            self.event(0, sent + 20, Event::Response { sent, body });
        }

        /// Delivered, lost, cut off, reached everybody.
        fn counts(&self) -> [u64; 4] {
            let meter = &self.rooms.part.meter;
            [
                meter.delivered,
                meter.lost(),
                meter.cut_off,
                meter.complete.count(),
            ]
        }
    }

    #[test]
    fn what_does_not_come_is_lost() {
        let mut room = Room::of(3);
        (1..=2).for_each(|when| room.say(when));
        (0..3).for_each(|member| room.push(member, 2, 2));
        assert_eq!(room.counts(), [3, 3, 0, 1]);
        assert!(room.rooms.is_behind(2));
        room.push(1, 2, 2);
        assert_eq!(room.rooms.part.meter.repeated, 1);
        (0..3).for_each(|member| room.push(member, 1, 1));
        assert_eq!(room.counts(), [6, 0, 0, 2]);
        assert_eq!(room.rooms.part.meter.disordered, 3);
        assert!(!room.rooms.is_behind(u64::MAX));
    }

    #[test]
    fn what_was_refused_is_not_lost() {
        let mut room = Room::of(2);
        (1..=3).for_each(|when| room.say(when));
        room.answer(2, b"{\"code\":429}");
        room.answer(1, b"{}");
        for seq in [1, 3] {
            (0..2).for_each(|member| room.push(member, seq, u64::from(seq)));
        }
        assert_eq!(room.counts(), [4, 0, 0, 2]);
        assert_eq!(room.rooms.part.meter.refused, 1);
    }

    #[test]
    fn who_is_gone_loses_nothing() {
        let mut room = Room::of(3);
        (1..=2).for_each(|when| room.say(when));
        (0..3).for_each(|member| room.push(member, 1, 1));
        room.event(2, 5, Event::Closed("the server closed it"));
        assert_eq!((room.counts(), room.rooms.gone()), ([3, 2, 1, 1], 1));
        // Nobody expects more than two from now on, and a refusal of what was said before is still one.
        room.say(3);
        room.answer(2, b"{\"code\":429}");
        (0..2).for_each(|member| room.push(member, 3, 3));
        assert_eq!(room.counts(), [5, 0, 1, 2]);
    }

    #[test]
    fn what_the_gone_said_without_an_answer_may_come_or_not() {
        let mut room = Room::of(3);
        (1..=3).for_each(|when| room.say(when));
        room.answer(1, b"{}");
        room.event(0, 5, Event::Closed("the server closed it"));
        // The first was taken: the two who are left have to get it.
        assert_eq!(room.counts(), [0, 2, 3, 0]);
        (1..3).for_each(|member| room.push(member, 1, 1));
        assert_eq!(room.counts(), [2, 0, 3, 1]);
        room.push(1, 2, 2);
        assert_eq!(room.counts(), [3, 0, 3, 1]);
    }
}
