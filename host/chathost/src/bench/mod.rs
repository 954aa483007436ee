//! `chathost bench`: a load generator for any server that speaks Pomelo's protocol with the routes of its chat demo.
//!
//! One thread, one epoll (`fleet.rs`), cheaper than what it measures. A scenario gives [`Part`]s, which `report.rs` and
//! `plot.rs` show. The server is only seen from outside: its answers, and its process in `/proc`; so the figures of two
//! servers compare. Called by `cmd/bench.rs`.

mod crowd;
mod fleet;
mod histogram;
mod limit;
mod marker;
mod meter;
mod options;
mod plot;
mod process;
mod random;
mod report;
mod rooms;
mod round;
mod scenario;
mod search;
mod swap;
mod wire;

pub(crate) use meter::{Part, progress};
pub(crate) use options::{BenchArgs, Scenario};
pub(crate) use plot::svg;
pub(crate) use report::{json, table};

use anyhow::bail;
use crowd::Doors;
use fleet::Fleet;
use process::Process;
use rustix::process::{Resource, Rlimit};
use serde_json::Value;
use std::time::Duration;
use swap::Swapper;

/// The server that is measured.
#[derive(Debug)]
struct Setting {
    doors: Doors,
    process: Option<Process>,
}

/// Runs a scenario.
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<Vec<Part>> {
    more_files();
    match args.scenario {
        Scenario::LimitServer => {
            limit::serve(args.gather)?;
            Ok(Vec::new())
        }
        Scenario::Limit => scenario::talk::limit(args),
        Scenario::Swap => {
            let setting = Setting::new(args)?;
            let every = Duration::from_millis(args.every);
            let swapper = Swapper::start(&args.project, args.touch.as_deref(), every)?;
            let parts = against(args.during, args, &setting);
            let mut swaps = Part::new("swaps");
            swapper.end(&mut swaps)?;
            let mut parts = parts?;
            if let Some(part) = parts.first_mut() {
                part.more.append(&mut swaps.more);
            }
            Ok(parts)
        }
        scenario => against(scenario, args, &Setting::new(args)?),
    }
}

fn against(scenario: Scenario, args: &BenchArgs, setting: &Setting) -> anyhow::Result<Vec<Part>> {
    match scenario {
        Scenario::Latency => scenario::latency::run(args, setting),
        Scenario::Fanout => scenario::talk::fanout(args, setting),
        Scenario::Mixed => scenario::talk::mixed(args, setting),
        Scenario::Saturate => scenario::saturate::run(args, setting),
        Scenario::Idle => scenario::idle::run(args, setting),
        Scenario::JoinStorm => scenario::join::run(args, setting),
        Scenario::Swap | Scenario::Limit | Scenario::LimitServer => {
            bail!("--during is latency, fanout, idle, join-storm, mixed or saturate")
        }
    }
}

/// The parameters that count, for the report.
pub(crate) fn parameters(args: &BenchArgs) -> Value {
    let BenchArgs {
        rooms,
        members,
        senders,
        burst,
        rate,
        bytes,
        ..
    } = args;
    let talk = serde_json::json!({
        "rooms": rooms, "members": members, "senders": senders, "burst": burst, "rate": rate, "bytes": bytes,
    });
    match args.scenario {
        Scenario::Latency => {
            serde_json::json!({ "clients": args.clients, "burst": burst, "route": args.route })
        }
        Scenario::Idle => serde_json::json!({ "connections": args.connections, "enter": args.enter }),
        Scenario::JoinStorm => serde_json::json!({ "users": args.users }),
        Scenario::Mixed => serde_json::json!({ "users": args.users, "rooms": rooms, "think": args.think }),
        Scenario::Swap => serde_json::json!({ "during": args.during.name(), "every": args.every }),
        Scenario::Fanout | Scenario::Saturate | Scenario::Limit | Scenario::LimitServer => talk,
    }
}

impl Setting {
    fn new(args: &BenchArgs) -> anyhow::Result<Self> {
        let resolve = |address: &String| crowd::resolve(address);
        let connectors = args
            .connector
            .iter()
            .map(resolve)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let gate = args.gate.as_ref().map(resolve).transpose()?;
        if let Some(pid) = args.pid.iter().find(|&&pid| Process::new(pid).memory().is_none()) {
            bail!("--pid {pid}: there is no such process");
        }
        let watched = gate.or_else(|| connectors.first().copied());
        Ok(Self {
            process: Process::all(args.pid.clone()).or_else(|| watched.and_then(Process::listening)),
            doors: Doors {
                gate,
                connectors,
                transport: args.transport,
            },
        })
    }

    /// A room's name. Two runs after another do not meet.
    fn room(&self, number: usize) -> String {
        format!("bench-{}-{number}", std::process::id())
    }

    /// Fails if the server wants this route's requests in protobuf, which the bench does not write.
    fn speaks_json(&self, fleet: &Fleet, route: &str) -> anyhow::Result<()> {
        if fleet.wants_protobuf(route) {
            bail!("the server wants {route} in protobuf (clientProtos.json), and the bench writes JSON only");
        }
        Ok(())
    }
}

/// The code of an answer that is no success. Only bodies that speak of one are read.
fn refusal(body: &[u8]) -> Option<i64> {
    if !body.windows(6).any(|window| window == b"\"code\"") {
        return None;
    }
    let answer: Value = serde_json::from_slice(body).ok()?;
    answer.get("code")?.as_i64().filter(|&code| code != 200)
}

/// As many open files as this user may have; root may have more.
fn more_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    for most in [Some(1 << 20), limit.maximum] {
        let wanted = Rlimit {
            current: most,
            maximum: most,
        };
        if rustix::process::setrlimit(Resource::Nofile, wanted).is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let cases = [
            ("{}", None),
            ("{\"code\":200}", None),
            ("{\"code\":429,\"msg\":\"\"}", Some(429)),
            ("{\"users\":[\"code\"]}", None),
            ("\"code\"", None),
        ];
        for (body, expected) in cases {
            assert_eq!(refusal(body.as_bytes()), expected, "{body}");
        }
    }
}
