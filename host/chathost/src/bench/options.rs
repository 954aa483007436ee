//! The options of `chathost bench`. Which scenario looks at which is said in the help.

use super::wire::Transport;
use crate::args::Project;
use clap::{Args, ValueEnum, builder::RangedU64ValueParser, value_parser};
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
    /// The highest rate that the server keeps up with; its times at half of that, and what happens at twice that
    Saturate,
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
    /// How long is measured; saturate: at half as well as at twice
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = positive, allow_negative_numbers = true)]
    pub(crate) seconds: f64,
    /// The server's process; give it several times if there are several [default: whoever listens on the connector's port]
    #[arg(long)]
    pub(crate) pid: Vec<u32>,
    /// latency: clients
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = many())]
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
    /// fanout, saturate, mixed, limit: rooms
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = many())]
    pub(crate) rooms: usize,
    /// fanout, saturate, limit: members of each room
    #[arg(long, value_name = "M", default_value_t = 100, value_parser = many())]
    pub(crate) members: usize,
    /// fanout, saturate, limit: how many members of each room talk
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = many())]
    pub(crate) senders: usize,
    /// fanout, latency, limit: messages that are sent at once before waiting
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) burst: u32,
    /// fanout, limit: messages per second, whether the server keeps up or not; saturate: where the search begins
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) rate: Option<f64>,
    /// fanout, mixed: the limit in turns with the server, and the ratio
    #[arg(long)]
    pub(crate) with_limit: bool,
    /// As --with-limit, and the limit writes all that waits for a socket at once, as a good server does; limit: the same
    #[arg(long)]
    pub(crate) gather: bool,
    /// fanout, saturate, mixed, limit: how many turns the time is divided into
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// fanout, saturate, mixed, limit: length of what is said; less than 40 is as much as the marker needs
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = sizes().range(1..=60_000))]
    pub(crate) bytes: usize,
    /// idle: connections
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = many())]
    pub(crate) connections: usize,
    /// idle: let them enter rooms of --members
    #[arg(long)]
    pub(crate) enter: bool,
    /// join-storm, mixed: people
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = many())]
    pub(crate) users: usize,
    /// mixed: seconds between two messages of one person
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = positive, allow_negative_numbers = true)]
    pub(crate) think: f64,
    /// swap: what goes on meanwhile: latency, fanout or mixed
    #[arg(long, value_enum, default_value = "latency")]
    pub(crate) during: Scenario,
    /// swap: a handler file of the host (--servers, -d) that gets another last line before each swap, and has its own again in the end
    #[arg(long, value_name = "FILE")]
    pub(crate) touch: Option<PathBuf>,
    /// swap: milliseconds between two swaps
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = value_parser!(u64).range(1..=3_600_000))]
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

fn sizes() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new()
}

/// At least one, and no more than a machine may have of connections.
fn many() -> RangedU64ValueParser<usize> {
    sizes().range(1..=10_000_000)
}

/// A number of seconds or messages that something can be done with.
fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if (0.001..=1e7).contains(&number) {
        Ok(number)
    } else {
        Err("it is not between 0.001 and 10,000,000".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args as Everything, Command};
    use clap::Parser;

    fn parse(line: &str) -> Result<BenchArgs, clap::Error> {
        let words = ["chathost", "bench"].into_iter().chain(line.split(' '));
        match Everything::try_parse_from(words)?.command {
            Command::Bench(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        for line in [
            "fanout --seconds 0",
            "fanout --seconds -1",
            "fanout --seconds NaN",
            "fanout --seconds inf",
            "fanout --rate 0",
            "fanout --rate -2",
            "fanout --rate x",
            "fanout --rooms 0",
            "fanout --members 0",
            "fanout --senders 0",
            "fanout --burst 0",
            "fanout --rounds 0",
            "fanout --bytes 70000",
            "latency --clients 0",
            "idle --connections 99999999999",
            "mixed --users 0",
            "mixed --think -3",
            "swap --every 0",
            "swap --during nothing",
            "fanout --gate 127.0.0.1:1 --connector 127.0.0.1:2",
            "nothing",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn numbers_that_do() {
        let args = parse("saturate --rooms 3 --members 7 --seconds 0.5 --connector 127.0.0.1:1,127.0.0.1:2")
            .unwrap();
        assert_eq!(
            (args.scenario, args.rooms, args.members),
            (Scenario::Saturate, 3, 7)
        );
        assert_eq!((args.seconds, args.connector.len()), (0.5, 2));
    }
}
