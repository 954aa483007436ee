//! Counts the instructions of a case: this program once more, under valgrind.
//!
//! What valgrind counts is what the processor executes in user space, whoever else is running. What is left to chance
//! is kept out (one thread, no environment) or small (hash seeds): two runs differ by less than a percent. Looking at
//! the clock counts for little, because valgrind hides the kernel's vDSO and so it is a system call.

use crate::{
    cases::Case,
    meter::{MEASURED, Meter},
};
use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};
use tempfile::NamedTempFile;

/// Counts many cases, as many at a time as there are processors. `done` hears of each.
///
/// # Errors
/// What went wrong with each that could not be counted.
pub fn count_all(
    program: &Path,
    cases: &[&Case],
    done: impl Fn(&Case) + Sync,
) -> Result<BTreeMap<String, u64>, String> {
    let (waiting, counts, problems) = (
        Mutex::new(cases.iter()),
        Mutex::new(BTreeMap::new()),
        Mutex::new(Vec::new()),
    );
    let next = || waiting.lock().expect("no panic").next();
    let work = || {
        while let Some(case) = next() {
            match count(program, case) {
                Ok(count) => drop(
                    counts
                        .lock()
                        .expect("no panic")
                        .insert(case.name.to_owned(), count),
                ),
                Err(problem) => problems.lock().expect("no panic").push(problem),
            }
            done(case);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let problems = problems.into_inner().expect("no panic");
    if problems.is_empty() {
        Ok(counts.into_inner().expect("no panic"))
    } else {
        Err(problems.join("\n"))
    }
}

/// Instructions of one operation.
fn count(program: &Path, case: &Case) -> Result<u64, String> {
    let out = NamedTempFile::new().map_err(|error| format!("{}: {error}", case.name))?;
    profile(program, case, out.path())
}

/// Instructions of one operation, and in a file which functions they are in: for `callgrind_annotate`.
///
/// # Errors
/// What went wrong.
pub fn profile(program: &Path, case: &Case, out: &Path) -> Result<u64, String> {
    let failed = |what: &str| format!("{}: {what}", case.name);
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "-q", "--collect-atstart=no"])
        .arg(format!("--toggle-collect=*{MEASURED}*"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["run", case.name, &case.counted.to_string()])
        .stdin(Stdio::null())
        .env_clear();
    for kept in ["PATH", "TMPDIR"] {
        command.envs(env::var_os(kept).map(|value| (kept, value)));
    }
    let output = command
        .output()
        .map_err(|error| failed(&format!("valgrind does not start: {error}; install it")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(&format!("{}\n{}", output.status, said.trim())));
    }
    let profile = fs::read_to_string(out).map_err(|error| failed(&error.to_string()))?;
    let total = total(&profile).filter(|&total| total > 0);
    let total = total.ok_or_else(|| failed("callgrind collected nothing; is the program stripped?"))?;
    Ok(total.div_ceil(case.counted))
}

/// What is run under valgrind.
pub fn run(program: &Path, case: &Case, operations: u64) {
    let mut routine = (case.prepare)(program);
    routine(&mut Meter::warm_up(operations.div_ceil(10)));
    routine(&mut Meter::new(operations));
}

/// The instructions of a whole profile.
fn total(profile: &str) -> Option<u64> {
    profile
        .lines()
        .find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_profile() {
        let profile = "# callgrind format\nevents: Ir\nsummary: 7\n\nfn=(1) main\n16 400\n\ntotals: 1234\n";
        assert_eq!(total(profile), Some(1234));
        assert_eq!(total("events: Ir\n"), None);
    }
}
