//! What is counted while a scenario runs, and what it cost the server: one [`Meter`] while it runs, one [`Part`] of the
//! report when it has ended.

use super::{
    fleet::Fleet,
    histogram::Histogram,
    process::{self, Process, Usage},
};
use anyhow::bail;
use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
};

/// How often the figures of the plot are taken.
const TICK: u64 = 250_000_000;
/// How often the server's memory is looked at.
const LOOK: u64 = 20_000_000;

/// Counts and times.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Request → response.
    pub(crate) response: Histogram,
    /// Message → one receiver.
    pub(crate) delivery: Histogram,
    /// Message → the last of its receivers.
    pub(crate) complete: Histogram,
    /// Heartbeat → the server's.
    pub(crate) beat: Histogram,
    /// In an open loop, how much later than it should have been a message was said.
    pub(crate) late: Histogram,
    /// Messages.
    pub(crate) said: u64,
    /// Deliveries that should come.
    pub(crate) expected: u64,
    /// Those that came, each once.
    pub(crate) delivered: u64,
    /// Those that did not come because their receiver's connection ended.
    pub(crate) cut_off: u64,
    pub(crate) repeated: u64,
    pub(crate) disordered: u64,
    /// Refusals by code, and connections that ended by reason.
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) refused: u64,
    /// The last answer that was a refusal.
    refusal: String,
    /// The server's memory now, and the most it was.
    memory: Option<u64>,
    pub(crate) peak: Option<u64>,
    looked: u64,
    ticks: Vec<Tick>,
    tick: Histogram,
    tick_began: u64,
}

/// A quarter of a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tick {
    /// Seconds.
    pub(crate) at: f64,
    /// Per second.
    pub(crate) rate: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// The server's memory in bytes.
    pub(crate) memory: Option<u64>,
}

/// A stretch of a run, measured.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) seconds: f64,
    pub(crate) meter: Meter,
    pub(crate) usage: Usage,
    /// The bench's own CPU time in nanoseconds.
    pub(crate) own_cpu: u64,
    pub(crate) memory: Option<u64>,
    /// Of the machine's processor time, what its host gave to others, and all.
    pub(crate) stolen: (u64, u64),
    /// Reads of the bench.
    pub(crate) reads: u64,
    /// What only this scenario has: name, value, unit.
    pub(crate) more: Vec<(String, f64, &'static str)>,
}

/// Where a stretch began.
#[derive(Debug)]
pub(crate) struct Mark {
    now: u64,
    reads: u64,
    usage: Usage,
    own: Usage,
    stolen: (u64, u64),
}

impl Meter {
    pub(crate) fn respond(&mut self, nanos: u64) {
        self.response.record(nanos);
        self.tick.record(nanos);
    }

    pub(crate) fn deliver(&mut self, nanos: u64) {
        self.delivery.record(nanos);
        self.tick.record(nanos);
    }

    /// Counts an answer that was a refusal.
    pub(crate) fn refuse(&mut self, code: i64, body: &[u8]) {
        self.fail(&format!("refused with {code}"));
        self.refused += 1;
        self.refusal = String::from_utf8_lossy(body).into_owned();
    }

    pub(crate) fn fail(&mut self, what: &str) {
        *self.errors.entry(what.to_owned()).or_default() += 1;
    }

    /// Looks at the server's memory, if it is time.
    pub(crate) fn look(&mut self, process: Option<Process>, now: u64) {
        if now >= self.looked + LOOK {
            self.looked = now;
            self.memory = process.and_then(Process::memory);
            self.peak = self.peak.max(self.memory);
        }
    }

    /// Deliveries that did not come although both ends are there.
    pub(crate) fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.delivered)
    }

    pub(crate) fn ticks(&self) -> &[Tick] {
        &self.ticks
    }

    /// Ends a tick if it is time, and shows where the run is. `share`: how much of it is done.
    pub(crate) fn tick(&mut self, name: &str, now: u64, share: f64) {
        if self.tick_began == 0 {
            self.tick_began = now;
        }
        let length = now - self.tick_began;
        if length < TICK {
            return;
        }
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let tick = Tick {
            at: self.ticks.last().map_or(0.0, |tick| tick.at) + length as f64 / 1e9,
            rate: self.tick.count() as f64 / (length as f64 / 1e9),
            p50: micros(self.tick.quantile(0.5)),
            p99: micros(self.tick.quantile(0.99)),
            memory: self.memory,
        };
        let (percent, rate) = (share.min(1.0) * 100.0, tick.rate);
        progress(&format!(
            "{name} {percent:3.0} %  {rate:9.0}/s  p50 {:.0} µs  p99 {:.0} µs",
            tick.p50, tick.p99
        ));
        self.ticks.push(tick);
        self.tick.clear();
        self.tick_began = now;
    }

    /// Between two rounds time passes that is not counted.
    pub(crate) fn pause(&mut self) {
        self.tick.clear();
        self.tick_began = 0;
    }
}

impl Part {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            seconds: 0.0,
            meter: Meter::default(),
            usage: Usage::default(),
            own_cpu: 0,
            memory: None,
            stolen: (0, 0),
            reads: 0,
            more: Vec::new(),
        }
    }

    /// Fails if the server did nothing of what it was asked.
    pub(crate) fn all_refused(&self) -> anyhow::Result<()> {
        let meter = &self.meter;
        if meter.refused > 0 && meter.refused == meter.response.count() {
            bail!("the server refuses every request: {}", meter.refusal);
        }
        Ok(())
    }

    /// What counts, after a warm-up, of which only the mistakes do.
    pub(crate) fn warmed_up(&self) -> Self {
        let mut part = Self::new(self.name.clone());
        part.meter.errors.clone_from(&self.meter.errors);
        part
    }

    /// Begins a stretch.
    pub(crate) fn mark(fleet: &Fleet, process: Option<Process>) -> Mark {
        Mark {
            now: fleet.now(),
            reads: fleet.reads,
            usage: process.map(Process::usage).unwrap_or_default(),
            own: Process::own().usage(),
            stolen: process::stolen().unwrap_or_default(),
        }
    }

    /// Ends it; several add up.
    pub(crate) fn end(&mut self, mark: &Mark, fleet: &Fleet, process: Option<Process>) {
        self.seconds += (fleet.now() - mark.now) as f64 / 1e9;
        self.reads += fleet.reads - mark.reads;
        self.own_cpu += Process::own().usage().since(&mark.own).cpu().unwrap_or(0);
        let (stolen, all) = process::stolen().unwrap_or_default();
        self.stolen.0 += stolen.saturating_sub(mark.stolen.0);
        self.stolen.1 += all.saturating_sub(mark.stolen.1);
        if let Some(process) = process {
            self.usage.add(&process.usage().since(&mark.usage));
            self.memory = process.memory();
        }
        self.meter.pause();
    }

    pub(crate) fn note(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.more.push((name.into(), value, unit));
    }

    /// As [`Part::note`]; of several the largest counts.
    pub(crate) fn note_most(&mut self, name: &str, value: f64, unit: &'static str) {
        match self.more.iter_mut().find(|(known, ..)| known == name) {
            Some((_, most, _)) => *most = most.max(value),
            None => self.note(name, value, unit),
        }
    }

    /// CPU time of the server for each of `count`, in microseconds.
    pub(crate) fn cpu_per(&self, count: u64) -> Option<f64> {
        let cpu = self.usage.cpu().filter(|_| count > 0)?;
        Some(cpu as f64 / 1000.0 / count as f64)
    }
}

/// A line on a terminal that the next one replaces.
pub(crate) fn progress(line: &str) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        drop(write!(stderr, "\r{line}\x1b[K"));
        drop(stderr.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_refuses_everything() {
        let mut part = Part::new("");
        part.all_refused().unwrap();
        part.meter.response.record(1);
        part.meter.refuse(500, b"{\"code\":500}");
        let problem = part.all_refused().unwrap_err().to_string();
        assert!(problem.ends_with("{\"code\":500}"), "{problem}");
        part.meter.response.record(1);
        part.all_refused().unwrap();
    }

    #[test]
    fn ticks_have_the_time_that_was_counted() {
        let mut meter = Meter::default();
        meter.tick("", 1, 0.0);
        (0..10).for_each(|_| meter.deliver(5000));
        meter.tick("", 1 + TICK / 2, 0.0);
        assert!(meter.ticks().is_empty());
        meter.tick("", 1 + TICK, 0.0);
        meter.pause();
        meter.tick("", 9 * TICK, 0.0);
        (0..20).for_each(|_| meter.deliver(5000));
        meter.tick("", 10 * TICK, 0.0);
        let ticks: Vec<_> = meter.ticks().iter().map(|tick| (tick.at, tick.rate)).collect();
        assert_eq!(ticks, [(0.25, 40.0), (0.5, 80.0)]);
    }
}
