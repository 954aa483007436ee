//! `chathost reload` and `chathost rollback`: replace handlers while people are connected.

use super::{ask, say};
use crate::args::{ReloadArgs, RollbackArgs};
use anyhow::bail;
use chathost::admin::{Reply, Request, SwapRow};
use std::process::ExitCode;

pub(crate) fn reload(args: &ReloadArgs) -> anyhow::Result<ExitCode> {
    let request = Request::Reload {
        server_type: args.server_type.clone(),
        dry_run: args.dry_run,
        allow_removed_routes: args.allow_removed_routes,
    };
    show(ask(&args.project, &request)?, args.dry_run, args.json)
}

pub(crate) fn rollback(args: &RollbackArgs) -> anyhow::Result<ExitCode> {
    let request = Request::Rollback {
        server_type: args.server_type.clone(),
    };
    show(ask(&args.project, &request)?, false, args.json)
}

/// One line per type; 1 if any was refused.
fn show(reply: Reply, dry_run: bool, json: bool) -> anyhow::Result<ExitCode> {
    let Reply::Swaps(rows) = reply else {
        bail!("the host answered something else")
    };
    let refused = rows.iter().any(|row| !row.problems.is_empty());
    if json {
        say(&serde_json::to_string(&rows)?);
    } else {
        rows.iter().for_each(|row| say(&line(row, dry_run)));
    }
    Ok(if refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn line(row: &SwapRow, dry_run: bool) -> String {
    let name = &row.server_type;
    if !row.problems.is_empty() {
        let problems = row.problems.join("\n    ");
        return format!("{name}: refused, the old handlers keep serving\n    {problems}");
    }
    let generation = row.generation.as_deref().unwrap_or_default();
    if row.unchanged {
        return format!("{name}: unchanged, {generation} serves");
    }
    let verb = if dry_run { "would serve" } else { "serves" };
    let mut line = format!("{name}: {generation} {verb}");
    for (what, routes) in [("new", &row.added), ("gone", &row.removed)] {
        if !routes.is_empty() {
            line.push_str(&format!("; {what}: {}", routes.join(", ")));
        }
    }
    line
}
