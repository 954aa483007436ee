//! One file per command, and how they speak to the person at the terminal.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod init_plugin;
pub(crate) mod list;
pub(crate) mod start;
pub(crate) mod swap;

use crate::args::Project;
use chathost::admin::{self, Reply, Request};
use std::io::Write;

/// A line for whoever started the program. A terminal that is gone is not an error.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Why it did not work, one problem a line.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut stderr = std::io::stderr().lock();
    for line in format!("{error:#}").lines() {
        drop(writeln!(stderr, "error: {line}"));
    }
}

/// The small runtime beside the servers' threads: signals and the web page.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}

/// Asks the host that runs this project.
pub(crate) fn ask(project: &Project, request: &Request) -> anyhow::Result<Reply> {
    let cluster = project.options().load()?;
    match runtime()?.block_on(admin::ask(&cluster, request))? {
        Reply::Failed(why) => Err(anyhow::anyhow!("{why}")),
        reply => Ok(reply),
    }
}
