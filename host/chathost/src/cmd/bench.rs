//! `chathost bench`: runs a scenario and shows what it came to.

use super::say;
use crate::bench::{self, BenchArgs, Scenario};
use anyhow::Context;
use std::{fs, process::ExitCode};

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.plot {
        // Before a long run, not after it.
        fs::write(path, "").with_context(|| path.display().to_string())?;
    }
    let parts = bench::run(args);
    bench::progress("");
    let parts = parts?;
    if args.scenario == Scenario::LimitServer {
        return Ok(ExitCode::SUCCESS);
    }
    let (name, parameters) = (args.scenario.name(), bench::parameters(args));
    if args.json {
        say(&serde_json::to_string_pretty(&bench::json(
            &name,
            &parameters,
            &parts,
        ))?);
    } else {
        say(&format!("{name} {parameters}"));
        say(&bench::table(&parts));
    }
    if let Some(path) = &args.plot {
        let svg = bench::svg(&format!("{name} {parameters}"), &parts);
        fs::write(path, svg).with_context(|| path.display().to_string())?;
    }
    let refused = |part: &bench::Part| part.meter.errors.keys().any(|what| what.ends_with("429"));
    if !args.json && args.scenario != Scenario::Saturate && parts.iter().any(refused) {
        say(
            "The server refused messages because of its limits (messagesPerSecond, burst, requestsInFlight).",
        );
        say("To measure it, start it with them raised: chathost start --servers config/bench/servers.json");
    }
    let busy = |part: &bench::Part| part.own_cpu as f64 / 1e9 > 0.9 * part.seconds;
    if !args.json && parts.iter().any(busy) {
        say("The bench itself was busy all the time: a faster server would not show.");
    }
    Ok(ExitCode::SUCCESS)
}
