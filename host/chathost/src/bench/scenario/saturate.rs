//! `saturate`: how much a server can deliver, how quick it is at half of that, and what becomes of it at twice that.
//!
//! Open loop all the way: messages are said when they are due, whether the server keeps up or not, and times count from
//! then. Two limits talk in turns with the server at half: one that gathers, at the same rate, and one that has one message at a
//! time, which is as quick as the machine ever is.

use super::talk::{NONE, add_limit, add_server, sizes};
use crate::bench::{
    Setting,
    fleet::Fleet,
    limit::Limit,
    meter::{Part, Tick, progress},
    options::BenchArgs,
    report::number,
    rooms::{Pace, Rooms, Target},
    round::{Done, Talk},
    search,
};
use anyhow::{Context, bail};
use std::time::Duration;

/// How long a rate is tried.
const TRIAL: Duration = Duration::from_secs(1);
/// Who keeps up has delivered everything so soon after the end of a trial: what the backlog of a second may be.
const BEHIND: f64 = 0.05;
/// Only the trials that decided are in the report.
const SHOWN: usize = 12;
const KEEPS_UP: &str = "keeps up";
const MIB: f64 = 1_048_576.0;

/// The people, and those who take their places when connections were closed.
struct Stand<'a> {
    args: &'a BenchArgs,
    setting: &'a Setting,
    sizes: Vec<usize>,
    fleet: Fleet,
    talk: Talk,
    /// Rooms that were used up.
    rooms: usize,
}

/// What a rate came to.
#[derive(Debug, Clone, Copy)]
struct Trial {
    rate: f64,
    /// Seconds from the end of the load to the last delivery.
    behind: f64,
    keeps_up: bool,
    verdict: &'static str,
}

/// What was measured at half of saturation.
struct Half {
    server: Part,
    /// The limit at the same rate. It gathers, or it could not keep up with a server that does.
    limit: Part,
    /// The limit, one message at a time.
    alone: Part,
}

pub(crate) fn run(args: &BenchArgs, setting: &Setting) -> anyhow::Result<Vec<Part>> {
    let mut stand = Stand::new(args, setting)?;
    let saturation = stand.saturation()?;
    let rate = saturation.meter.said as f64 / TRIAL.as_secs_f64();
    let Half {
        mut server,
        limit,
        alone,
    } = stand.half(rate / 2.0)?;
    compare(&mut server, &alone, "one at a time");
    compare(&mut server, &limit, "gathering at the same rate");
    let twice = stand.twice(rate, 2 * server.meter.complete.quantile(0.99))?;
    Ok(vec![saturation, server, limit, alone, twice])
}

fn compare(server: &mut Part, limit: &Part, how: &str) {
    let (p99, median) = (
        server.meter.delivery.quantile(0.99),
        limit.meter.delivery.quantile(0.5),
    );
    let ratio = p99 as f64 / median.max(1) as f64;
    server.note(format!("p99 by the limit's median, {how}"), ratio, "×");
}

impl<'a> Stand<'a> {
    fn new(args: &'a BenchArgs, setting: &'a Setting) -> anyhow::Result<Self> {
        let mut stand = Self {
            args,
            setting,
            sizes: sizes(args),
            fleet: Fleet::new()?,
            talk: Talk { rooms: Vec::new() },
            rooms: 0,
        };
        stand.fill()?;
        Ok(stand)
    }

    /// New people in new rooms; those who were there before are gone.
    fn fill(&mut self) -> anyhow::Result<()> {
        self.fleet = Fleet::new()?;
        self.talk.rooms.clear();
        let (pace, bytes) = (Pace::Burst(1), self.args.bytes);
        let rooms = Rooms::new(Target::Server, 0, &self.sizes, self.args.senders, pace, bytes);
        add_server(&mut self.talk, &mut self.fleet, self.setting, rooms, self.rooms)?;
        self.rooms += self.sizes.len();
        Ok(())
    }

    /// The rooms of the server, with everybody there.
    fn server(&mut self) -> anyhow::Result<&mut Rooms> {
        // An answer that is still to come would be counted where it does not belong.
        if self.talk.rooms.first().is_none_or(|rooms| rooms.gone() > 0) || self.fleet.unanswered() > 0 {
            self.fill()?;
        }
        self.talk.rooms.first_mut().context("there are no rooms")
    }

    /// The trial of the highest rate that the server keeps up with; its notes are the other trials.
    fn saturation(&mut self) -> anyhow::Result<Part> {
        let mut best = None;
        let mut trials: Vec<Trial> = Vec::new();
        let start = match self.args.rate {
            Some(rate) => rate,
            None => self.one_at_a_time()?,
        };
        search::highest(start, |rate| {
            // A second look: a machine may do something else for a moment.
            for _ in 0..2 {
                let (trial, part) = self.attempt(rate)?;
                trials.push(trial);
                if trial.keeps_up {
                    best = Some(part);
                    return Ok(true);
                }
            }
            Ok::<_, anyhow::Error>(false)
        })?;
        let mut part =
            best.context("the server keeps up with no rate at all, not even a message every two seconds")?;
        trials.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        for trial in last(&trials, SHOWN) {
            let (rate, verdict) = (number(trial.rate.round()), trial.verdict);
            let name = format!("tried {rate} messages/s: {verdict}; behind by");
            part.note(name, trial.behind * 1e3, "ms");
        }
        Ok(part)
    }

    /// Messages per second when everybody waits for their own: a rate that is not far off.
    fn one_at_a_time(&mut self) -> anyhow::Result<f64> {
        let rooms = self.server()?;
        rooms.pace = Pace::Burst(1);
        rooms.take_part("closed loop");
        self.talk.round(&mut self.fleet, 0, TRIAL / 2, NONE)?;
        let said = self.server()?.part.meter.said;
        Ok(said as f64 / (TRIAL / 2).as_secs_f64())
    }

    fn attempt(&mut self, rate: f64) -> anyhow::Result<(Trial, Part)> {
        progress(&format!("trying {rate:.0} messages/s"));
        let rooms = self.server()?;
        rooms.pace = Pace::Rate(rate);
        rooms.take_part("saturation");
        let behind = self.talk.round(&mut self.fleet, 0, TRIAL, NONE)?;
        let rooms = self.talk.rooms.first_mut().context("there are no rooms")?;
        let part = rooms.take_part("");
        let verdict = match &part.meter {
            _ if rooms.gone() > 0 => "connections are closed",
            meter if meter.lost() > 0 => "messages are lost",
            meter if meter.refused > 0 => "messages are refused",
            _ if behind > BEHIND * TRIAL.as_secs_f64() => "falls behind",
            _ => KEEPS_UP,
        };
        let trial = Trial {
            rate,
            behind,
            keeps_up: verdict == KEEPS_UP,
            verdict,
        };
        Ok((trial, part))
    }

    /// The server and the limits in turns: the server, the limit at the same rate, and one message at a time.
    fn half(&mut self, rate: f64) -> anyhow::Result<Half> {
        let rooms = self.server()?;
        rooms.pace = Pace::Rate(rate);
        rooms.take_part("half");
        let people = self.fleet.len();
        // Dropped, and ended, when this has.
        let limits = [Limit::start(true)?, Limit::start(false)?];
        for (limit, pace) in limits.iter().zip([Pace::Rate(rate), Pace::Burst(1)]) {
            let (base, bytes) = (self.fleet.len(), self.args.bytes);
            let rooms = Rooms::new(Target::Limit, base, &self.sizes, self.args.senders, pace, bytes);
            add_limit(&mut self.talk, &mut self.fleet, limit, rooms, bytes)?;
        }
        let rounds = self.args.rounds;
        let length = Duration::from_secs_f64(self.args.seconds / f64::from(rounds));
        for round in 0..rounds {
            let share = 1.0 / f64::from(rounds);
            let done = Done {
                before: f64::from(round) * share,
                share,
            };
            for which in 0..self.talk.rooms.len() {
                self.talk.round(&mut self.fleet, which, length, done)?;
            }
        }
        let mut parts = self.talk.rooms.iter_mut().map(|rooms| rooms.take_part(""));
        let (Some(server), Some(mut limit), Some(mut alone)) = (parts.next(), parts.next(), parts.next())
        else {
            bail!("there are no rooms");
        };
        limit.name = "limit, gathers".to_owned();
        alone.name = "limit, 1 by 1".to_owned();
        self.talk.rooms.truncate(1);
        for connection in people..self.fleet.len() {
            self.fleet.close(connection);
        }
        Ok(Half { server, limit, alone })
    }

    /// Twice as much as the server keeps up with, and what happens afterwards. `normal`: nanoseconds until everybody
    /// has a message when all is well.
    fn twice(&mut self, saturation: f64, normal: u64) -> anyhow::Result<Part> {
        let length = Duration::from_secs_f64(self.args.seconds);
        let rooms = self.server()?;
        rooms.pace = Pace::Rate(2.0 * saturation);
        rooms.take_part("twice");
        let before = rooms.process.and_then(|process| process.memory());
        let rarely = (saturation / 20.0).clamp(5.0, 200.0);
        let recovery = self.talk.overload(&mut self.fleet, 0, length, rarely, normal)?;
        let rooms = self.talk.rooms.first_mut().context("there are no rooms")?;
        let gone = rooms.gone();
        let mut part = rooms.take_part("");
        part.note("messages refused with an answer", part.meter.refused as f64, "");
        part.note("connections closed by the server", gone as f64, "");
        if let Some(before) = before {
            part.note("memory before", before as f64 / MIB, "MiB");
        }
        if let Some(growth) = growth(part.meter.ticks(), length.as_secs_f64()) {
            part.note(
                "memory grows in the last third of the load by",
                growth / MIB,
                "MiB/s",
            );
        }
        part.note(
            "everything delivered after the end of the load",
            recovery.delivered,
            "s",
        );
        match recovery.quick {
            Some(quick) => part.note(
                "messages as quick as before after the end of the load",
                quick,
                "s",
            ),
            None => part.note(
                "messages are not as quick as before; waited for",
                recovery.waited,
                "s",
            ),
        }
        Ok(part)
    }
}

/// By how many bytes per second memory grew in the last third of so many seconds.
fn growth(ticks: &[Tick], seconds: f64) -> Option<f64> {
    let third = ticks
        .iter()
        .filter(|tick| tick.at >= seconds * 2.0 / 3.0 && tick.at <= seconds);
    let mut known = third.filter_map(|tick| Some((tick.at, tick.memory? as f64)));
    let (began, before) = known.next()?;
    let (ended, after) = known.next_back()?;
    Some((after - before) / (ended - began))
}

/// The trials next to the highest that was good.
fn last(trials: &[Trial], many: usize) -> &[Trial] {
    let good = trials
        .iter()
        .rposition(|trial| trial.keeps_up)
        .unwrap_or_default();
    let first = (good + many / 2).min(trials.len()).saturating_sub(many);
    trials
        .get(first..(first + many).min(trials.len()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows() {
        let tick = |at: u32, memory| Tick {
            at: f64::from(at),
            rate: 0.0,
            p50: 0.0,
            p99: 0.0,
            memory,
        };
        let ticks: Vec<_> = (0..20)
            .map(|at| tick(at, Some(100 * u64::from(at.min(9)))))
            .collect();
        assert_eq!(growth(&ticks, 9.0), Some(100.0));
        assert_eq!(growth(&ticks, 18.0), Some(0.0));
        assert_eq!(growth(&[tick(1, None), tick(2, None)], 2.0), None);
        assert_eq!(growth(&[], 1.0), None);
    }

    #[test]
    fn the_trials_that_decided() {
        let trial = |rate: u32| Trial {
            rate: f64::from(rate),
            behind: 0.0,
            keeps_up: rate <= 10,
            verdict: "",
        };
        let trials: Vec<_> = (1..=30).map(trial).collect();
        let rates = |trials: &[Trial]| trials.iter().map(|trial| trial.rate).collect::<Vec<_>>();
        assert_eq!(rates(last(&trials, 4)), [8.0, 9.0, 10.0, 11.0]);
        assert_eq!(rates(last(&trials[..2], 4)), [1.0, 2.0]);
        assert!(last(&[], 4).is_empty());
    }
}
