//! What each step of a message costs, measured in two ways from one list of cases ([`cases::CASES`]).
//!
//! `cargo bench -p chathost-costs` takes the time of each with criterion. `cargo run --release -p chathost-costs -- check`
//! counts the instructions of each with valgrind's callgrind and fails if one grew by more than 5 % over
//! `baseline.json`, which is committed; `… -- accept` writes it. Instructions in user space are the same on a busy
//! machine, so this is a test; system calls do not show in them, so it is not a measure of speed.
//!
//! **Why not gungraun** (iai-callgrind's new name): it needs a runner of exactly its own version installed beside it,
//! keeps its baselines below `target/`, where a fresh checkout has none, and compares with them whatever the compiler
//! was. What we need of callgrind is one number for each case.
//!
//! **How it counts.** Every case runs in a process of its own ([`callgrind`]). callgrind collects only while
//! one function of [`meter`] is on a thread's stack: start-up, preparation, the client's side and clean-up fall out
//! without being subtracted. One thread runs a whole cluster's turn ([`stage`]), so nothing depends on the scheduler.
// Like a test: whatever goes wrong ends the measurement.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement ends where it cannot go on"
)]

pub mod baseline;
pub mod callgrind;
pub mod cases;
pub mod crowd;
pub mod meter;
pub mod stage;

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// Builds the demo's native plugin into the folder of this crate's program.
///
/// # Errors
/// cargo says why.
pub fn build_plugin(program: &Path) -> io::Result<()> {
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    // `target/release/chathost-costs`.
    let target = program.ancestors().nth(2).unwrap_or(Path::new("target"));
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "chat",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other("the demo's native plugin was not built"))
    }
}
