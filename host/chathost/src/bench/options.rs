//! The options of `chathost bench`. Which scenario looks at which is said in the help.

use super::wire::Transport;
use crate::args::Project;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Clients that ask, wait for the answer and ask again
    Latency,
    /// Rooms in which some talk and all listen
    Fanout,
    /// Many connections that do nothing but answer heartbeats
    Idle,
    /// Many people who enter one room, and leave it
    JoinStorm,
    /// People who talk now and then, in rooms of very different sizes
    Mixed,
    /// Another scenario (--during) while the handlers are replaced again and again
    Swap,
    /// The fan-out of a bare loop that writes the same bytes: what no server can beat
    Limit,
    #[value(hide = true)]
    LimitServer,
}

impl Scenario {
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[arg(value_enum)]
    pub(crate) scenario: Scenario,
    /// Ask this gate for everybody's connector
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "connector")]
    pub(crate) gate: Option<String>,
    /// Connect here; several take turns
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:3050",
        value_delimiter = ','
    )]
    pub(crate) connector: Vec<String>,
    #[arg(long, value_enum, default_value = "ws")]
    pub(crate) transport: Transport,
    /// How long is measured
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// The server's process; give it several times if there are several [default: whoever listens on the connector's port]
    #[arg(long)]
    pub(crate) pid: Vec<u32>,
    /// latency: clients
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) clients: usize,
    /// latency: what is asked [default: chat.chatHandler.send to oneself, which pushes one message, too]
    #[arg(long)]
    pub(crate) route: Option<String>,
    /// latency: what is said, as JSON
    #[arg(long, default_value = "{}")]
    pub(crate) body: String,
    /// latency: shake hands and do not enter a room
    #[arg(long)]
    pub(crate) no_enter: bool,
    /// fanout, mixed, limit: rooms
    #[arg(long, value_name = "R", default_value_t = 1)]
    pub(crate) rooms: usize,
    /// fanout, limit: members of each room
    #[arg(long, value_name = "M", default_value_t = 100)]
    pub(crate) members: usize,
    /// fanout, limit: how many members of each room talk
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) senders: usize,
    /// fanout, latency, limit: messages that are sent at once before waiting
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) burst: u32,
    /// fanout, limit: messages per second, whether the server keeps up or not
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<f64>,
    /// fanout: the limit in turns with the server, and the ratio
    #[arg(long)]
    pub(crate) with_limit: bool,
    /// fanout, latency, limit: how many turns the time is divided into
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) rounds: u32,
    /// fanout, mixed, limit: length of what is said
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) bytes: usize,
    /// idle: connections
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) connections: usize,
    /// idle: let them enter rooms of --members
    #[arg(long)]
    pub(crate) enter: bool,
    /// join-storm, mixed: people
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) users: usize,
    /// mixed: seconds between two messages of one person
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    pub(crate) think: f64,
    /// swap: what goes on meanwhile: latency, fanout or mixed
    #[arg(long, value_enum, default_value = "latency")]
    pub(crate) during: Scenario,
    /// swap: a handler file of the host (--servers, -d) that gets another last line before each swap, and has its own again in the end
    #[arg(long, value_name = "FILE")]
    pub(crate) touch: Option<PathBuf>,
    /// swap: milliseconds between two swaps
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) every: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw rates and times over time
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) project: Project,
}
