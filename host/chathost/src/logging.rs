//! Where log lines go: the terminal, and files under `logs/` that change every day.
//!
//! Lines are handed to threads that write them. When those cannot keep up, lines are lost, counted, rather than a
//! server waits for a terminal.

use chathost_core::config::LogSettings;
use std::{io, io::IsTerminal, path::Path};
use tracing_appender::{
    non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard},
    rolling::{RollingFileAppender, Rotation},
};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt};

/// Keeps the writing threads; dropping it writes what is left.
#[derive(Debug)]
pub struct Logs {
    _guards: Vec<WorkerGuard>,
}

/// Starts logging for the whole process.
///
/// # Errors
/// `logs/` cannot be written, the level is none, or somebody else logs already.
pub fn start(base: &Path, settings: &LogSettings) -> anyhow::Result<Logs> {
    let filter: Targets = settings
        .level
        .parse()
        .map_err(|error| anyhow::anyhow!("log.level in chathost.json: {error}; use info, debug, warn, …"))?;
    let (terminal, terminal_guard) = queued(io::stderr());
    let mut guards = vec![terminal_guard];
    let files = if settings.files > 0 {
        let folder = base.join("logs");
        std::fs::create_dir_all(&folder)
            .map_err(|error| anyhow::anyhow!("{} cannot be made: {error}", folder.display()))?;
        let files = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix("chathost")
            .filename_suffix("log")
            .max_log_files(settings.files)
            .build(&folder)
            .map_err(|error| anyhow::anyhow!("{} cannot be written: {error}", folder.display()))?;
        let (files, guard) = queued(files);
        guards.push(guard);
        Some(fmt::layer().with_ansi(false).with_writer(files))
    } else {
        None
    };
    registry()
        .with(filter)
        .with(
            fmt::layer()
                .with_ansi(io::stderr().is_terminal())
                .with_writer(terminal),
        )
        .with(files)
        .try_init()?;
    Ok(Logs { _guards: guards })
}

/// A writer that no server waits for: what does not fit into its queue is dropped.
fn queued(writer: impl io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    // The queue's places exist from the start: the usual 128,000 take 4 MB.
    NonBlockingBuilder::default()
        .buffered_lines_limit(8192)
        .finish(writer)
}
