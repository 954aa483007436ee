//! How people come: ask the gate, connect, shake hands, enter a room. Some at a time, as many as wanted.

use super::{
    fleet::{Event, Fleet, Listener},
    histogram::Histogram,
    meter::progress,
    refusal,
    wire::Transport,
};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

/// How many are on their way at once.
const AT_ONCE: usize = 100;
/// How long nothing may happen while people come.
const PATIENCE: u64 = 10_000_000_000;

/// Where people connect.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    pub(crate) gate: Option<SocketAddr>,
    pub(crate) connectors: Vec<SocketAddr>,
    pub(crate) transport: Transport,
}

/// Those who come.
#[derive(Debug)]
pub(crate) struct Crowd {
    transport: Transport,
    /// Name, room and door of each; without a room they only shake hands.
    people: Vec<(String, Option<String>, SocketAddr)>,
    at_once: usize,
    began: Vec<u64>,
    /// The connection of the first.
    base: usize,
    done: usize,
    last: u64,
    problem: Option<String>,
    /// Pushes that came meanwhile.
    pub(crate) notices: u64,
    /// From the connection's begin to the end of `enter`.
    pub(crate) times: Histogram,
}

impl Doors {
    /// A door for each of these people.
    fn of(&self, names: &[String]) -> anyhow::Result<Vec<SocketAddr>> {
        match self.gate {
            Some(gate) => ask(gate, self.transport, names),
            None => Ok(self
                .connectors
                .iter()
                .copied()
                .cycle()
                .take(names.len())
                .collect()),
        }
    }
}

impl Crowd {
    /// People, each with a room or none.
    pub(crate) fn new(
        doors: &Doors,
        rooms: impl IntoIterator<Item = Option<String>>,
    ) -> anyhow::Result<Self> {
        let rooms: Vec<_> = rooms.into_iter().collect();
        let names: Vec<_> = (0..rooms.len()).map(|number| format!("u{number}")).collect();
        let doors_of = doors.of(&names)?;
        let people = names.into_iter().zip(rooms).zip(doors_of);
        Ok(Self {
            transport: doors.transport,
            people: people.map(|((name, room), door)| (name, room, door)).collect(),
            at_once: AT_ONCE,
            began: Vec::new(),
            base: 0,
            done: 0,
            last: 0,
            problem: None,
            notices: 0,
            times: Histogram::default(),
        })
    }

    /// Lets everybody in, or says why one was not. Their connections follow each other from the number it returns.
    pub(crate) fn enter(&mut self, fleet: &mut Fleet) -> anyhow::Result<usize> {
        self.base = fleet.len();
        self.enter_some(fleet, self.people.len())?;
        Ok(self.base)
    }

    /// Lets people in until there are so many.
    pub(crate) fn enter_some(&mut self, fleet: &mut Fleet, until: usize) -> anyhow::Result<()> {
        self.last = fleet.now();
        while self.done < until && self.problem.is_none() {
            while self.began.len() < until && self.began.len() < self.done + self.at_once {
                let Some((_, _, door)) = self.people.get(self.began.len()) else {
                    break;
                };
                self.began.push(fleet.now());
                fleet.connect(*door, self.transport)?;
            }
            fleet.turn(Duration::from_millis(100), self)?;
            progress(&format!("{} of {until} people", self.done));
            if fleet.now() > self.last + PATIENCE {
                bail!(
                    "{} of {until} people came, and then nothing happened for 10 s; does a Pomelo server with the chat \
                     demo's routes listen there, and is --transport right?",
                    self.done
                );
            }
        }
        match self.problem.take() {
            Some(problem) => bail!("{problem} ({} of {until} people were in)", self.done),
            None => Ok(()),
        }
    }

    fn came(&mut self, number: usize, now: u64) {
        self.done += 1;
        self.last = now;
        self.times
            .record(now - self.began.get(number).copied().unwrap_or(now));
    }
}

impl Listener for Crowd {
    fn event(&mut self, fleet: &mut Fleet, connection: usize, now: u64, event: Event<'_>) {
        let number = connection.saturating_sub(self.base);
        match event {
            Event::Ready => match self.people.get(number) {
                Some((name, Some(room), _)) => {
                    let body = json!({ "username": name, "rid": room });
                    fleet.request(connection, "connector.entryHandler.enter", &body);
                }
                _ => self.came(number, now),
            },
            Event::Response { body, .. } => match refusal(body) {
                Some(code) => {
                    let text = String::from_utf8_lossy(body);
                    self.problem = Some(format!("enter was refused with {code}: {text}"));
                }
                None => self.came(number, now),
            },
            Event::Closed(why) => {
                let door = self.people.get(number).map(|(_, _, door)| door.to_string());
                self.problem = Some(format!("{}: {why}", door.unwrap_or_default()));
            }
            Event::Push { .. } => self.notices += 1,
            Event::Beat(_) => {}
        }
    }
}

/// Asks a gate where these people should connect.
fn ask(gate: SocketAddr, transport: Transport, names: &[String]) -> anyhow::Result<Vec<SocketAddr>> {
    struct Answers<'a> {
        names: &'a [String],
        answers: Vec<Result<SocketAddr, String>>,
    }
    impl Answers<'_> {
        fn next(&self, fleet: &mut Fleet, connection: usize) {
            if let Some(name) = self.names.get(self.answers.len()) {
                fleet.request(connection, "gate.gateHandler.queryEntry", &json!({ "uid": name }));
            }
        }
    }
    impl Listener for Answers<'_> {
        fn event(&mut self, fleet: &mut Fleet, connection: usize, _now: u64, event: Event<'_>) {
            match event {
                Event::Ready => self.next(fleet, connection),
                Event::Response { body, .. } => {
                    self.answers.push(door(body));
                    self.next(fleet, connection);
                }
                Event::Closed(why) => self.answers.push(Err(why.to_owned())),
                Event::Push { .. } | Event::Beat(_) => {}
            }
        }
    }
    let mut fleet = Fleet::new()?;
    let mut answers = Answers {
        names,
        answers: Vec::new(),
    };
    fleet.connect(gate, transport)?;
    let mut last = (0, fleet.now());
    while answers.answers.len() < names.len() && answers.answers.last().is_none_or(Result::is_ok) {
        fleet.turn(Duration::from_millis(100), &mut answers)?;
        if answers.answers.len() != last.0 {
            last = (answers.answers.len(), fleet.now());
        } else if fleet.now() > last.1 + PATIENCE {
            bail!("the gate {gate} does not answer");
        }
    }
    let doors: Result<Vec<_>, _> = answers.answers.into_iter().collect();
    doors.map_err(|problem| anyhow::anyhow!("the gate {gate}: {problem}"))
}

fn door(body: &[u8]) -> Result<SocketAddr, String> {
    let text = || String::from_utf8_lossy(body).into_owned();
    let answer: Value = serde_json::from_slice(body).map_err(|_| text())?;
    let host = answer.get("host").and_then(Value::as_str).ok_or_else(text)?;
    let port = answer.get("port").and_then(Value::as_u64).ok_or_else(text)?;
    resolve(&format!("{host}:{port}")).map_err(|error| error.to_string())
}

/// An address by its name.
pub(crate) fn resolve(address: &str) -> anyhow::Result<SocketAddr> {
    if !address.contains(':') {
        bail!("{address}: where is the port? HOST:PORT is needed");
    }
    let mut found = address.to_socket_addrs().with_context(|| address.to_owned())?;
    found.next().with_context(|| format!("{address}: no such host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_a_gate() {
        let body = br#"{"code":200,"host":"127.0.0.1","port":3050}"#;
        assert_eq!(door(body), Ok("127.0.0.1:3050".parse().unwrap()));
        assert_eq!(door(b"{\"code\":500}"), Err("{\"code\":500}".to_owned()));
        assert!(door(b"?").is_err());
    }

    #[test]
    fn addresses() {
        assert_eq!(resolve("127.0.0.1:80").unwrap().port(), 80);
        assert_eq!(resolve("[::1]:80").unwrap().port(), 80);
        for address in ["127.0.0.1", "", "127.0.0.1:x", "127.0.0.1:99999"] {
            let problem = resolve(address).unwrap_err().to_string();
            assert!(problem.contains(address), "{problem}");
        }
    }
}
