//! The program: read the command line, call, and say how it went.
//!
//! Exit codes: 0 it went well; 1 a server failed while it ran, or handlers were refused; 2 a mistake in the command line, the configuration or
//! the handlers, or a port in use.

mod args;
mod bench;
mod cmd;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let done = match &args.command {
        args::Command::Start(args) => cmd::start::run(args),
        args::Command::Check(args) => cmd::check::run(args),
        args::Command::Reload(args) => cmd::swap::reload(args),
        args::Command::Rollback(args) => cmd::swap::rollback(args),
        args::Command::List(args) => cmd::list::run(args),
        args::Command::InitPlugin(args) => cmd::init_plugin::run(args),
        args::Command::Bench(args) => cmd::bench::run(args),
    };
    done.unwrap_or_else(|error| {
        cmd::complain(&error);
        ExitCode::from(2)
    })
}
