//! Counts, compares, accepts, shows where: `cargo run --release -p chathost-costs -- check`.
//!
//! It also runs itself: `run` is what valgrind is given, `hold` a crowd of clients. What is compared with what is
//! [`baseline`]'s.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use chathost_costs::{
    baseline::{Baseline, Limits, Platform},
    callgrind,
    cases::{self, CASES, Case},
    crowd,
};
use std::{
    env,
    error::Error,
    io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const USAGE: &str = "usage: cargo run --release -p chathost-costs -- COMMAND

  check [CASE…]   counts instructions and fails if a case grew by more than 5 % over baseline.json
                  (rpc/two_threads: 15 %, because its threads wake each other more or less often)
  accept [CASE…]  makes what is counted now the baseline; the commit says why
  profile CASE    which functions the instructions are in: a file for callgrind_annotate
  list            the cases

CASE is a name, or its beginning: push/ or push/deliver_to_100.";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["check", ref names @ ..] => check(names),
        ["accept", ref names @ ..] => accept(names),
        ["profile", name] => profile(name),
        ["list"] => {
            CASES.iter().for_each(|case| println!("{}", case.name));
            Ok(true)
        }
        ["run", name, operations] => run(name, operations),
        ["hold", address, count] => hold(address, count),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

type Done = Result<bool, Box<dyn Error>>;

fn check(names: &[&str]) -> Done {
    let path = baseline_path();
    let baseline = Baseline::read(&path)?
        .ok_or("there is no baseline.json: cargo run --release -p chathost-costs -- accept")?;
    let (program, here, known) = (prepare()?, Platform::here(), known());
    let mut measured = callgrind::count_all(&program, &chosen(names)?, progress)?;
    let mut found = baseline.compare(&here, &measured, &known);
    if !found.grown.is_empty() {
        // A hash table that grew at an unlucky moment is no growth: of two counts the lower one stands.
        let grown: Vec<_> = found.grown.iter().filter_map(|name| cases::find(name)).collect();
        for (name, count) in callgrind::count_all(&program, &grown, progress)? {
            measured
                .entry(name)
                .and_modify(|first| *first = count.min(*first));
        }
        found = baseline.compare(&here, &measured, &known);
    }
    println!("{found}");
    match found.problems.len() {
        0 => println!("costs: {} cases, no problem", measured.len()),
        count => println!("costs: {} cases, {count} problems", measured.len()),
    }
    Ok(found.problems.is_empty())
}

fn accept(names: &[&str]) -> Done {
    let path = baseline_path();
    let old = Baseline::read(&path)?;
    let here = Platform::here();
    let measured = callgrind::count_all(&prepare()?, &chosen(names)?, progress)?;
    if let Some(old) = &old {
        let mut found = old.compare(&here, &measured, &known());
        found.problems.clear();
        found.hints.clear();
        println!("{found}");
    }
    Baseline::accept(old, here, measured, &known())?.write(&path)?;
    println!("baseline.json is written. Say in the commit why the counts changed.");
    Ok(true)
}

fn profile(name: &str) -> Done {
    let program = prepare()?;
    let out = program.with_file_name(format!("callgrind.out.{}", name.replace('/', ".")));
    let count = callgrind::profile(&program, case(name)?, &out)?;
    println!(
        "{name}: {count} instructions; callgrind_annotate {}",
        out.display()
    );
    Ok(true)
}

fn run(name: &str, operations: &str) -> Done {
    let case = case(name)?;
    callgrind::run(&env::current_exe()?, case, operations.parse()?);
    Ok(true)
}

fn hold(address: &str, count: &str) -> Done {
    crowd::hold(address.parse()?, count.parse()?)?;
    Ok(true)
}

fn case(name: &str) -> Result<&'static Case, String> {
    cases::find(name).ok_or_else(|| format!("no case {name}; `list` shows them"))
}

/// The cases that these names mean; all if there are none.
fn chosen(names: &[&str]) -> Result<Vec<&'static Case>, String> {
    for name in names {
        if !CASES.iter().any(|case| case.name.starts_with(name)) {
            return Err(format!("no case begins with {name}; `list` shows them"));
        }
    }
    let wanted = |case: &&Case| names.is_empty() || names.iter().any(|name| case.name.starts_with(name));
    Ok(CASES.iter().filter(wanted).collect())
}

fn known() -> Limits<'static> {
    CASES.iter().map(|case| (case.name, case.tolerance)).collect()
}

fn progress(case: &Case) {
    eprintln!("counted {}", case.name);
}

fn baseline_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
}

/// This program, which has to be an optimised one, with the native plugin beside it.
fn prepare() -> Result<PathBuf, Box<dyn Error>> {
    if cfg!(debug_assertions) {
        return Err(USAGE.into());
    }
    let program = env::current_exe()?;
    chathost_costs::build_plugin(&program)?;
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        let message = format!("valgrind does not start ({error}); install it: apt-get install valgrind");
        return Err(io::Error::other(message).into());
    }
    Ok(program)
}
