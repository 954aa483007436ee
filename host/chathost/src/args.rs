//! The command line.

use crate::bench::BenchArgs;
use chathost::Options;
use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;

/// A chat server that you program: handlers in Lua, replaced while people are connected.
#[derive(Debug, Parser)]
#[command(name = "chathost", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it lives as long as the program"
)]
pub(crate) enum Command {
    /// Start the servers and the web page; Ctrl-C or SIGTERM ends them.
    ///
    /// On SIGTERM or Ctrl-C the listeners close, calls that run may end (stop.graceSeconds in chathost.json), everybody
    /// leaves the rooms, and the exit code is 0. A second Ctrl-C ends at once.
    Start(StartArgs),
    /// Validate the configuration and load every script, without starting anything.
    Check(Project),
    /// Read handlers again and let them serve, on all servers of a type or on none.
    ///
    /// Calls that run end on the handlers they began on. Handlers that do not compile, loop while they load, lack a
    /// route that the old ones have or fail their selftest are refused with file and line, and the old ones keep
    /// serving; the exit code is 1 then.
    Reload(ReloadArgs),
    /// Return to the handlers that served before the last reload.
    Rollback(RollbackArgs),
    /// Show the servers that run, or with --handlers how their handlers do.
    List(ListArgs),
    /// Make a new plugin project: a library in Rust with a handler and a test
    InitPlugin(InitPluginArgs),
    /// Drive a server with load, this one or another that speaks Pomelo's protocol, and measure it.
    ///
    /// The server has the routes of the chat demo. See BENCHMARKS.md.
    Bench(BenchArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReloadArgs {
    /// The server type; all of them, if none is named
    pub(crate) server_type: Option<String>,
    /// Only find out whether it would work
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Routes that the old handlers have may be gone
    #[arg(long)]
    pub(crate) allow_removed_routes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) project: Project,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RollbackArgs {
    /// The server type
    pub(crate) server_type: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) project: Project,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ListArgs {
    /// Show calls, errors and time per handler
    #[arg(long)]
    pub(crate) handlers: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) project: Project,
}

/// Which project.
#[derive(Debug, ClapArgs)]
pub(crate) struct Project {
    /// The servers; the folder of this file is the configuration folder [default: config/servers.json]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) servers: Option<PathBuf>,
    /// The environment: a key of the configuration files, or a folder beside them
    #[arg(short, long, default_value = "development")]
    pub(crate) env: String,
    /// Where handlers/, web-server/public/ and logs/ are
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) project: Project,
    /// Host only these servers
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Threads that the servers share, instead of what chathost.json says [0: each has its own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1024))]
    pub(crate) threads: Option<u32>,
}

impl Project {
    pub(crate) fn options(&self) -> Options {
        let servers = self
            .servers
            .clone()
            .unwrap_or_else(|| self.directory.join("config/servers.json"));
        Options {
            servers,
            base: self.directory.clone(),
            env: self.env.clone(),
            only: Vec::new(),
            threads: None,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InitPluginArgs {
    /// The plugin's name, as a crate's
    pub(crate) name: String,
    /// Where to make it [default: ./<NAME>]
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// Where the sources of chathost-plugin are
    #[arg(long, value_name = "DIR")]
    pub(crate) sdk: Option<PathBuf>,
}
