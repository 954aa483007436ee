//! What the cases cost when somebody last agreed to it, and the comparison with what they cost now.
//!
//! `baseline.json` lies beside the manifest and is committed. Counts compare where compiler, processor and C library are
//! those it was recorded with; elsewhere they are shown, and decide nothing.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, fs, io, path::Path, process::Command};

/// The cases there are, and the change of each, in percent, that needs nobody's agreement.
pub type Limits<'a> = BTreeMap<&'a str, f64>;

/// How to agree.
const ACCEPT: &str = "cargo run --release -p chathost-costs -- accept";

/// Instructions of one operation, by the name of the case.
pub type Counts = BTreeMap<String, u64>;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Where it was recorded.
    pub platform: Platform,
    /// What was counted.
    pub instructions: Counts,
}

/// What decides how many instructions the same source has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The processor, and whether it has the vector instructions that libraries look for.
    pub arch: String,
    /// The compiler's version without its patch level.
    pub rustc: String,
    /// The C library, whose allocator and `memcpy` are counted, too.
    pub libc: String,
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Comparison {
    /// The case, what it costs now, and what it did, in the order of the names.
    pub rows: Vec<(String, u64, Option<u64>)>,
    /// The names of those that grew by more than they may.
    pub grown: Vec<String>,
    /// What makes it fail.
    pub problems: Vec<String>,
    /// What somebody should know.
    pub hints: Vec<String>,
}

impl Platform {
    /// The one that this runs on.
    pub fn here() -> Self {
        Self {
            arch: format!("{}{}", std::env::consts::ARCH, vectors()),
            rustc: says("rustc", &["-V"]).map_or_else(unknown, |text| minor(&text)),
            libc: says("getconf", &["GNU_LIBC_VERSION"]).unwrap_or_else(unknown),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.arch, self.rustc, self.libc)
    }
}

impl Baseline {
    /// Reads the file; `None` if there is none yet.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)? + "\n")
    }

    /// Agrees to what was measured. On another platform nothing of the old one can stay.
    ///
    /// # Errors
    /// It would leave counts of two platforms in one file.
    pub fn accept(
        old: Option<Self>,
        here: Platform,
        measured: Counts,
        known: &Limits<'_>,
    ) -> Result<Self, String> {
        let mut instructions = match old {
            Some(old) if old.platform == here => old.instructions,
            Some(old) if measured.len() < known.len() => {
                return Err(format!(
                    "the baseline is of {}, and this is {here}: accept all cases at once ({ACCEPT})",
                    old.platform
                ));
            }
            _ => Counts::new(),
        };
        instructions.extend(measured);
        instructions.retain(|name, _| known.contains_key(&**name));
        Ok(Self {
            platform: here,
            instructions,
        })
    }

    /// Compares with what was measured; `known` are all cases there are, measured now or not.
    pub fn compare(&self, here: &Platform, measured: &Counts, known: &Limits<'_>) -> Comparison {
        let mut found = Comparison::default();
        for (name, &now) in measured {
            let before = self.instructions.get(name).copied();
            found.rows.push((name.clone(), now, before));
        }
        for name in known.keys() {
            if !self.instructions.contains_key(*name) {
                let problem = format!("{name} is not in the baseline yet; add it: {ACCEPT} {name}");
                found.problems.push(problem);
            }
        }
        for name in self
            .instructions
            .keys()
            .filter(|name| !known.contains_key(&***name))
        {
            let problem = format!("{name} is in the baseline, but no case any more; take it out: {ACCEPT}");
            found.problems.push(problem);
        }
        if self.platform != *here {
            found.hints.push(format!(
                "growth is not judged: the baseline is of {}, and this is {here}. To record one here: {ACCEPT}",
                self.platform
            ));
            return found;
        }
        for (name, now, before) in &found.rows {
            let (Some(before), Some(&limit)) = (before, known.get(&**name)) else {
                continue;
            };
            let change = change(*now, *before);
            if change > limit {
                found.grown.push(name.clone());
                found.problems.push(format!(
                    "{name} grew by {change:.1} %, from {before} to {now} instructions. If that is worth it, say why \
                     in the commit, with the result of: {ACCEPT} {name}"
                ));
            } else if change < -limit {
                found.hints.push(format!(
                    "{name} shrank by {:.1} %. Keep it so: {ACCEPT} {name}",
                    -change
                ));
            }
        }
        found
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<28} {:>14} {:>12} {:>9}",
            "case", "instructions", "baseline", "change"
        )?;
        for (name, now, before) in &self.rows {
            write!(f, "{name:<28} {now:>14}")?;
            match before {
                Some(before) => writeln!(f, " {before:>12} {:>+7.1} %", change(*now, *before))?,
                None => writeln!(f, " {:>12} {:>9}", "-", "-")?,
            }
        }
        for hint in &self.hints {
            writeln!(f, "\n{hint}")?;
        }
        for problem in &self.problems {
            writeln!(f, "\nerror: {problem}")?;
        }
        Ok(())
    }
}

/// In percent of what it was.
fn change(now: u64, before: u64) -> f64 {
    (now as f64 - before as f64) * 100.0 / before.max(1) as f64
}

fn unknown() -> String {
    "unknown".into()
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx2") {
        "+avx2"
    } else {
        ""
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> &'static str {
    ""
}

fn says(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// `rustc 1.95.0 (f2d3ce0bd 2026-03-21)` → `rustc 1.95`.
fn minor(version: &str) -> String {
    let end = version
        .match_indices('.')
        .nth(1)
        .map_or(version.len(), |(at, _)| at);
    version[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["codec/decode", "push/one"];

    fn limits<'a>(known: &[&'a str]) -> Limits<'a> {
        known.iter().map(|&name| (name, 5.0)).collect()
    }

    fn platform(rustc: &str) -> Platform {
        Platform {
            arch: "x86_64+avx2".into(),
            rustc: rustc.into(),
            libc: "glibc 2.39".into(),
        }
    }

    fn counts(decode: u64, push: u64) -> Counts {
        Counts::from([("codec/decode".to_owned(), decode), ("push/one".to_owned(), push)])
    }

    fn baseline() -> Baseline {
        Baseline {
            platform: platform("rustc 1.95"),
            instructions: counts(1000, 200),
        }
    }

    /// The problems and hints of a comparison on the baseline's own platform.
    fn check(measured: &Counts, known: &[&str]) -> (Vec<String>, Vec<String>) {
        let found = baseline().compare(&platform("rustc 1.95"), measured, &limits(known));
        (found.problems, found.hints)
    }

    #[test]
    fn within_the_tolerance() {
        assert_eq!(check(&counts(1050, 190), KNOWN), (vec![], vec![]));
    }

    #[test]
    fn growth_fails_and_says_how_much_and_how_to_accept() {
        let (problems, hints) = check(&counts(1051, 400), KNOWN);
        assert!(problems[0].starts_with("codec/decode grew by 5.1 %, from 1000 to 1051 instructions."));
        assert!(problems[0].ends_with("-- accept codec/decode"));
        assert!(problems[1].starts_with("push/one grew by 100.0 %"));
        assert_eq!((problems.len(), hints.len()), (2, 0));
    }

    #[test]
    fn shrinking_is_a_hint() {
        let (problems, hints) = check(&counts(1000, 150), KNOWN);
        assert_eq!(problems, [""; 0]);
        assert!(hints[0].starts_with("push/one shrank by 25.0 %"));
        assert!(hints[0].ends_with("-- accept push/one"));
    }

    #[test]
    fn a_case_without_baseline() {
        let mut measured = counts(1000, 200);
        measured.insert("rpc/new".into(), 5);
        let (problems, _) = check(&measured, &["codec/decode", "push/one", "rpc/new"]);
        assert!(problems[0].starts_with("rpc/new is not in the baseline yet"));
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn a_baseline_without_case() {
        let (problems, _) = check(&counts(1000, 200), &KNOWN[..1]);
        assert!(problems[0].starts_with("push/one is in the baseline, but no case any more"));
    }

    #[test]
    fn another_compiler_is_not_judged() {
        let found = baseline().compare(&platform("rustc 1.96"), &counts(9000, 1), &limits(KNOWN));
        assert_eq!(found.problems, [""; 0]);
        assert!(
            found.hints[0].starts_with("growth is not judged: the baseline is of x86_64+avx2, rustc 1.95")
        );
        assert!(
            found.to_string().contains("9000"),
            "counts are shown all the same"
        );
    }

    #[test]
    fn accepting_some_keeps_the_others() {
        let some = Counts::from([("push/one".to_owned(), 300)]);
        let here = platform("rustc 1.95");
        let new = Baseline::accept(Some(baseline()), here, some.clone(), &limits(KNOWN)).unwrap();
        assert_eq!(new.instructions, counts(1000, 300));
        let elsewhere = platform("rustc 1.96");
        Baseline::accept(Some(baseline()), elsewhere.clone(), some, &limits(KNOWN)).unwrap_err();
        let all = counts(1, 2);
        let new = Baseline::accept(Some(baseline()), elsewhere, all.clone(), &limits(KNOWN)).unwrap();
        assert_eq!((new.instructions, &*new.platform.rustc), (all, "rustc 1.96"));
    }

    #[test]
    fn accepting_forgets_what_is_no_case_any_more() {
        let here = platform("rustc 1.95");
        let one = Counts::from([("codec/decode".to_owned(), 7)]);
        let new = Baseline::accept(Some(baseline()), here, one.clone(), &limits(&KNOWN[..1])).unwrap();
        assert_eq!(new.instructions, one);
    }

    #[test]
    fn versions() {
        assert_eq!(minor("rustc 1.95.0 (f2d3ce0bd 2026-03-21)"), "rustc 1.95");
        assert_eq!(minor("unknown"), "unknown");
    }
}
