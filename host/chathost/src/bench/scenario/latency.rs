//! `latency`: clients that ask, wait for the answer, and ask again.

use crate::bench::{
    Setting,
    crowd::Crowd,
    fleet::{Event, Fleet, Listener},
    meter::Part,
    options::BenchArgs,
    refusal,
};
use anyhow::Context;
use serde_json::{Value, json};
use std::time::Duration;

/// How long an answer may take after the end.
const PATIENCE: u64 = 5_000_000_000;
const WARM_UP: f64 = 0.5;

struct Clients {
    route: String,
    /// What each client says.
    bodies: Vec<Value>,
    part: Part,
    asking: bool,
    /// Requests without an answer, per client.
    open: Vec<u32>,
    burst: u32,
}

pub(crate) fn run(args: &BenchArgs, setting: &Setting) -> anyhow::Result<Vec<Part>> {
    let mut fleet = Fleet::new()?;
    let room = |client| (!args.no_enter).then(|| setting.room(client));
    Crowd::new(&setting.doors, (0..args.clients).map(room))?.enter(&mut fleet)?;
    let given: Value = serde_json::from_str(&args.body).context("--body is no JSON")?;
    let body = |client: usize| match args.route {
        Some(_) => given.clone(),
        None => {
            json!({ "rid": "bench", "content": "hello", "from": "bench", "target": format!("u{client}") })
        }
    };
    let mut clients = Clients {
        route: args
            .route
            .clone()
            .unwrap_or_else(|| "chat.chatHandler.send".to_owned()),
        bodies: (0..args.clients).map(body).collect(),
        part: Part::new("server"),
        asking: false,
        open: vec![0; args.clients],
        burst: args.burst.max(1),
    };
    setting.speaks_json(&fleet, &clients.route)?;
    clients.round(&mut fleet, setting, WARM_UP)?;
    clients.part.all_refused()?;
    clients.part = clients.part.warmed_up();
    clients.round(&mut fleet, setting, args.seconds)?;
    Ok(vec![clients.part])
}

impl Clients {
    fn round(&mut self, fleet: &mut Fleet, setting: &Setting, seconds: f64) -> anyhow::Result<()> {
        let mark = Part::mark(fleet, setting.process);
        let began = fleet.now();
        let end = began + (seconds * 1e9) as u64;
        self.asking = true;
        for client in 0..self.bodies.len() {
            self.ask(fleet, client);
        }
        loop {
            fleet.turn(Duration::from_millis(50), self)?;
            let now = fleet.now();
            self.asking = now < end;
            self.part.meter.look(setting.process, now);
            self.part
                .meter
                .tick("latency", now, (now - began) as f64 / 1e9 / seconds);
            if !self.asking && (self.open.iter().all(|&open| open == 0) || now > end + PATIENCE) {
                break;
            }
        }
        self.part.end(&mark, fleet, setting.process);
        let unanswered: u32 = self.open.iter().sum();
        if unanswered > 0 {
            self.part
                .note("requests without an answer", f64::from(unanswered), "in all");
        }
        Ok(())
    }

    fn ask(&mut self, fleet: &mut Fleet, client: usize) {
        let (Some(open), Some(body)) = (self.open.get_mut(client), self.bodies.get(client)) else {
            return;
        };
        if !fleet.is_open(client) {
            return;
        }
        *open += self.burst;
        for _ in 0..self.burst {
            fleet.request(client, &self.route, body);
        }
    }
}

impl Listener for Clients {
    fn event(&mut self, fleet: &mut Fleet, client: usize, now: u64, event: Event<'_>) {
        match event {
            Event::Response { sent, body } => {
                self.part.meter.respond(now.saturating_sub(sent));
                if let Some(code) = refusal(body) {
                    self.part.meter.refuse(code, body);
                }
                let Some(open) = self.open.get_mut(client) else {
                    return;
                };
                *open = open.saturating_sub(1);
                if *open == 0 && self.asking {
                    self.ask(fleet, client);
                }
            }
            Event::Closed(why) => {
                self.part.meter.fail(why);
                if let Some(open) = self.open.get_mut(client) {
                    *open = 0;
                }
            }
            Event::Ready | Event::Push { .. } | Event::Beat(_) => {}
        }
    }
}
