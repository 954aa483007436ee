//! `chathost check`: is everything as it must be to start?

use super::{runtime, say};
use crate::args::Project;
use std::process::ExitCode;

pub(crate) fn run(project: &Project) -> anyhow::Result<ExitCode> {
    let cluster = project.options().load()?;
    for warning in &cluster.warnings {
        say(&format!("warning: {warning}"));
    }
    let summary = format!(
        "{} servers of {} types in the environment {}: configuration and handlers are fine",
        cluster.servers().count(),
        cluster.types().count(),
        cluster.env,
    );
    runtime()?.block_on(chathost::check(cluster))?;
    say(&summary);
    Ok(ExitCode::SUCCESS)
}
