//! The command line.

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
pub(crate) enum Command {
    /// Start the servers and the web page; Ctrl-C or SIGTERM ends them.
    ///
    /// On SIGTERM or Ctrl-C the listeners close, calls that run may end (stop.graceSeconds in chathost.json), everybody
    /// leaves the rooms, and the exit code is 0. A second Ctrl-C ends at once.
    Start(Project),
    /// Validate the configuration and load every script, without starting anything.
    Check(Project),
}

/// What both work on.
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
    /// Host only these servers
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
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
            only: self.only.clone(),
        }
    }
}
