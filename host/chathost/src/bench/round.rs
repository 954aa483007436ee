//! Rounds: how long people talk, and what happens until all is delivered.
//!
//! A [`Talk`] has some [`Rooms`] on one fleet, the server's and the limits', and lets one of them talk at a time.
//! What they say is `rooms.rs`'s; which rounds there are is the scenarios'.

use super::{
    fleet::{Event, Fleet, Listener},
    meter::Part,
    rooms::{Pace, Rooms},
};
use std::{io, time::Duration};

/// How long nothing may come before what is missing is lost.
const PATIENCE: u64 = 5_000_000_000;
/// Fresh messages in a row that must be quick, so that the server is as it was.
const QUICK: usize = 20;
/// How long the server may take to be as it was.
const RECOVERY: u64 = 30_000_000_000;

/// Where a round stands in the whole run: for the progress line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// What was done before it, of 1.
    pub(crate) before: f64,
    /// Its own share.
    pub(crate) share: f64,
}

/// What happened after an overload.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Recovery {
    /// Seconds from the end of the load to its last delivery.
    pub(crate) delivered: f64,
    /// Seconds from the end of the load to the first of many messages that were as quick as before; `None` if there
    /// were none.
    pub(crate) quick: Option<f64>,
    /// Seconds after which nobody waited any more.
    pub(crate) waited: f64,
}

/// Some [`Rooms`] on one fleet.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) rooms: Vec<Rooms>,
}

impl Talk {
    /// Lets one of them talk, and waits until all is delivered or nothing more comes for 5 s. How long that took after
    /// the end, in seconds.
    pub(crate) fn round(
        &mut self,
        fleet: &mut Fleet,
        which: usize,
        length: Duration,
        done: Done,
    ) -> io::Result<f64> {
        let Some(rooms) = self.rooms.get_mut(which) else {
            return Ok(0.0);
        };
        let mark = Part::mark(fleet, rooms.process);
        let said = rooms.part.meter.said;
        rooms.begin(fleet.now());
        let end = self.load(fleet, which, length, done)?;
        self.drain(fleet, which, done)?;
        let after = fleet.now().saturating_sub(end) as f64 / 1e9;
        if let Some(rooms) = self.rooms.get_mut(which) {
            if !matches!(rooms.pace, Pace::Burst(_)) {
                let rate = (rooms.part.meter.said - said) as f64 / length.as_secs_f64();
                rooms.part.note_most("messages said", rate, "/s");
                rooms
                    .part
                    .note_most("delivered after the end of a round, within", after * 1e3, "ms");
            }
            rooms.part.end(&mark, fleet, rooms.process);
        }
        Ok(after)
    }

    /// Lets one of them talk more than the server can deliver, and then, rarely, until messages take no longer than
    /// `normal` nanoseconds.
    pub(crate) fn overload(
        &mut self,
        fleet: &mut Fleet,
        which: usize,
        length: Duration,
        rarely: f64,
        normal: u64,
    ) -> io::Result<Recovery> {
        let Some(rooms) = self.rooms.get_mut(which) else {
            return Ok(Recovery::default());
        };
        let mark = Part::mark(fleet, rooms.process);
        rooms.begin(fleet.now());
        let done = Done {
            before: 0.0,
            share: 1.0,
        };
        let end = self.load(fleet, which, length, done)?;
        let Some(rooms) = self.rooms.get_mut(which) else {
            return Ok(Recovery::default());
        };
        let rate = rooms.part.meter.said as f64 / length.as_secs_f64();
        rooms.part.note("messages said", rate, "/s");
        let waiting = rooms.part.meter.lost() as f64;
        rooms
            .part
            .note("deliveries outstanding at the end of the load", waiting, "");
        rooms
            .part
            .note("requests without an answer then", fleet.unanswered() as f64, "");
        let unsent = fleet.unsent() as f64 / 1_048_576.0;
        rooms
            .part
            .note("bytes that the server had not read then", unsent, "MiB");
        rooms.pace = Pace::Rate(rarely);
        rooms.probe(end);
        while let Some(rooms) = self.rooms.get(which) {
            let now = fleet.now();
            let silent = now > rooms.backlog.last.max(end) + PATIENCE;
            let delivered = silent || !rooms.is_behind(end);
            if now > end + RECOVERY
                || rooms.is_empty()
                || delivered && quick_since(&rooms.finished, normal).is_some()
            {
                break;
            }
            self.turn(fleet, which, now, 1.0)?;
        }
        let waited = fleet.now();
        // What is still on its way is one of the rare ones.
        self.drain(fleet, which, done)?;
        let seconds = |time: u64| time.saturating_sub(end) as f64 / 1e9;
        let Some(rooms) = self.rooms.get_mut(which) else {
            return Ok(Recovery::default());
        };
        rooms.part.end(&mark, fleet, rooms.process);
        Ok(Recovery {
            delivered: seconds(rooms.backlog.last),
            quick: quick_since(&rooms.finished, normal).map(seconds),
            waited: seconds(waited),
        })
    }

    /// Lets one of them talk, until a time that it returns. What was due until then has been said, however late.
    fn load(&mut self, fleet: &mut Fleet, which: usize, length: Duration, done: Done) -> io::Result<u64> {
        let began = fleet.now();
        let end = began + length.as_nanos() as u64;
        loop {
            let now = fleet.now();
            let share = (now - began) as f64 / length.as_nanos().max(1) as f64;
            self.turn(fleet, which, now.min(end), done.before + done.share * share)?;
            if now >= end {
                return Ok(end);
            }
        }
    }

    /// Says nothing more, and waits until all is delivered or nothing comes for 5 s.
    fn drain(&mut self, fleet: &mut Fleet, which: usize, done: Done) -> io::Result<()> {
        let mut last = (0, fleet.now());
        while let Some(rooms) = self.rooms.get_mut(which) {
            let now = fleet.now();
            rooms.talking = false;
            if rooms.part.meter.delivered != last.0 {
                last = (rooms.part.meter.delivered, now);
            }
            if rooms.part.meter.lost() == 0 || now > last.1 + PATIENCE {
                break;
            }
            self.turn(fleet, which, now, done.before + done.share)?;
        }
        Ok(())
    }

    /// Says what is due, and reads what came.
    fn turn(&mut self, fleet: &mut Fleet, which: usize, now: u64, share: f64) -> io::Result<()> {
        let Some(rooms) = self.rooms.get_mut(which) else {
            return Ok(());
        };
        let wait = rooms.work(fleet, now);
        let meter = &mut rooms.part.meter;
        meter.look(rooms.process, now);
        meter.tick(&rooms.part.name, now, share);
        fleet.turn(wait, self)
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

/// When the first of [`QUICK`] messages in a row, in the order in which they were said, had reached everybody in time.
fn quick_since(messages: &[(u64, u64)], normal: u64) -> Option<u64> {
    let mut messages = messages.to_vec();
    messages.sort_unstable();
    let row = messages
        .windows(QUICK)
        .find(|row| row.iter().all(|&(_, took)| took <= normal))?;
    row.first().map(|&(when, took)| when + took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_message_starts_the_row_again() {
        let mut messages: Vec<_> = (0..100).map(|at| (at * 10, 5)).collect();
        assert_eq!(quick_since(&messages, 5), Some(5));
        assert_eq!(quick_since(&messages, 4), None);
        assert_eq!(quick_since(&messages[..QUICK - 1], 5), None);
        messages[QUICK - 1].1 = 6;
        messages.swap(0, 50);
        assert_eq!(quick_since(&messages, 5), Some(QUICK as u64 * 10 + 5));
    }
}
