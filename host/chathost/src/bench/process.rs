//! What another process costs, as `/proc` has it: CPU time per thread, memory, writes.
//!
//! Linux only; elsewhere, or where `/proc` is closed, there are no figures and the bench says so by leaving them out.

use std::{
    collections::BTreeMap,
    fs, iter,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// A process that is watched, or several that are one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pid: u32,
    /// There is one list in a run, and it is kept as long.
    others: &'static [u32],
}

/// What it has used so far, or between two readings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage {
    /// Nanoseconds per thread, by number and name.
    threads: BTreeMap<(u32, String), u64>,
    /// Writes that `/proc/…/io` counts, which are those with `write` and `writev`, not with `send`.
    pub(crate) writes: Option<u64>,
}

impl Process {
    /// One.
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid, others: &[] }
    }

    /// All of these, or none.
    pub(crate) fn all(pids: Vec<u32>) -> Option<Self> {
        let (&pid, others) = pids.leak().split_first()?;
        Some(Self { pid, others })
    }

    /// The bench itself.
    pub(crate) fn own() -> Self {
        Self::new(std::process::id())
    }

    /// Whoever listens there.
    pub(crate) fn listening(address: SocketAddr) -> Option<Self> {
        let tables =
            ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let sockets: Vec<String> = tables
            .iter()
            .flat_map(|table| table.lines())
            .filter_map(|line| listener(line, address.port()))
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        let holds = |pid: &u32| {
            entries(Path::new(&format!("/proc/{pid}/fd")))
                .filter_map(|path| fs::read_link(path).ok())
                .any(|target| {
                    target
                        .to_str()
                        .is_some_and(|target| sockets.iter().any(|it| it == target))
                })
        };
        let pid = numbers(Path::new("/proc")).find(holds)?;
        Some(Self::new(pid))
    }

    /// What it has used until now.
    pub(crate) fn usage(self) -> Usage {
        let mut usage = Usage::default();
        for pid in self.pids() {
            usage.add(&usage_of(pid));
        }
        usage
    }

    /// Resident memory in bytes, what several share counted for each.
    pub(crate) fn memory(self) -> Option<u64> {
        self.pids().map(memory_of).sum()
    }

    fn pids(self) -> impl Iterator<Item = u32> {
        iter::once(self.pid).chain(self.others.iter().copied())
    }
}

fn usage_of(pid: u32) -> Usage {
    let mut usage = Usage::default();
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    for task in numbers(&tasks) {
        let read = |file: &str| fs::read_to_string(tasks.join(task.to_string()).join(file));
        let nanos = read("schedstat")
            .ok()
            .and_then(|text| text.split(' ').next()?.parse().ok());
        if let (Some(nanos), Ok(name)) = (nanos, read("comm")) {
            usage.threads.insert((task, name.trim().to_owned()), nanos);
        }
    }
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    usage.writes = field(&io, "syscw:");
    usage
}

fn memory_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(field(&status, "VmRSS:")? * 1024)
}

impl Usage {
    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let used = |(key, nanos): (&(u32, String), &u64)| {
            let before = before.threads.get(key).copied().unwrap_or(0);
            (key.clone(), nanos.saturating_sub(before))
        };
        Self {
            threads: self.threads.iter().map(used).collect(),
            writes: self
                .writes
                .zip(before.writes)
                .map(|(now, before)| now.saturating_sub(before)),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (key, nanos) in &other.threads {
            *self.threads.entry(key.clone()).or_default() += nanos;
        }
        self.writes = match (self.writes, other.writes) {
            (Some(mine), Some(theirs)) => Some(mine + theirs),
            (mine, theirs) => mine.or(theirs),
        };
    }

    /// CPU time in nanoseconds; `None` if there was nothing to read.
    pub(crate) fn cpu(&self) -> Option<u64> {
        (!self.threads.is_empty()).then(|| self.threads.values().sum())
    }

    /// CPU time of the thread that used most, in nanoseconds.
    pub(crate) fn busiest_thread(&self) -> Option<u64> {
        self.threads.values().max().copied()
    }

    /// The threads that used most, with their nanoseconds; those of one name are one.
    pub(crate) fn busiest(&self) -> Vec<(String, u64)> {
        let mut names = BTreeMap::<&str, u64>::new();
        for ((_, name), nanos) in &self.threads {
            *names.entry(name).or_default() += nanos;
        }
        let mut names: Vec<_> = names
            .into_iter()
            .map(|(name, nanos)| (name.to_owned(), nanos))
            .collect();
        names.sort_by_key(|&(_, nanos)| std::cmp::Reverse(nanos));
        names
    }
}

/// The time that the host of this virtual machine gave to others while something wanted to run, and all time, in the same
/// unit; `None` where nobody says so.
pub(crate) fn stolen() -> Option<(u64, u64)> {
    stolen_of(&fs::read_to_string("/proc/stat").ok()?)
}

/// `cpu` and then user, nice, system, idle, iowait, irq, softirq and steal, of all processors.
fn stolen_of(stat: &str) -> Option<(u64, u64)> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let times: Vec<u64> = fields.take(8).map_while(|time| time.parse().ok()).collect();
    Some((*times.get(7)?, times.iter().sum()))
}

/// The inode, if this line of `/proc/net/tcp` is a socket that listens on the port.
fn listener(line: &str, port: u16) -> Option<&str> {
    let mut fields = line.split_whitespace();
    let (_, local_port) = fields.nth(1)?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    (state == "0A" && u16::from_str_radix(local_port, 16).ok()? == port).then_some(inode)
}

/// The first number after a label.
fn field(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

fn numbers(folder: &Path) -> impl Iterator<Item = u32> + use<> {
    entries(folder).filter_map(|path| path.file_name()?.to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn lines_of_proc() {
        let line = "  0: 0100007F:0BEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1";
        assert_eq!(listener(line, 3050), Some("12345"));
        assert_eq!(listener(line, 3051), None);
        assert_eq!(listener(&line.replace(" 0A ", " 01 "), 3050), None);
        assert_eq!(listener("  sl  local_address rem_address", 3050), None);
        let stat = "cpu  10 0 20 60 0 0 5 5 0 0\ncpu0 1 0 0 0 0 0 0 0 0 0\n";
        assert_eq!(stolen_of(stat), Some((5, 100)));
        assert_eq!(stolen_of("cpu  1 2 3\n"), None);
        assert_eq!(field("a: 1\nVmRSS:\t  123 kB\n", "VmRSS:"), Some(123));
    }

    #[test]
    fn finds_itself() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let process = Process::listening(socket.local_addr().unwrap()).unwrap();
        assert_eq!(process.pid, std::process::id());
        assert!(process.memory().unwrap() > 0);
        let before = process.usage();
        assert!(process.usage().since(&before).cpu().is_some());
    }

    #[test]
    fn several_are_one() {
        // Waits for its input to end.
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let itself = Process::new(std::process::id());
        let both = Process::all(vec![itself.pid, child.id()]).unwrap();
        let threads: Vec<u32> = both.usage().threads.into_keys().map(|(task, _)| task).collect();
        assert!(threads.contains(&itself.pid) && threads.contains(&child.id()));
        assert!(both.memory().is_some());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(both.memory().is_none());
        assert!(Process::all(Vec::new()).is_none());
    }

    #[test]
    fn sums() {
        let usage = |nanos, writes| Usage {
            threads: [((1, "a".to_owned()), nanos), ((2, "b".to_owned()), 1)].into(),
            writes,
        };
        let mut spent = usage(30, Some(5)).since(&usage(10, Some(2)));
        spent.add(&usage(5, None));
        assert_eq!((spent.cpu(), spent.writes), (Some(26), Some(3)));
        assert_eq!(spent.busiest_thread(), Some(25));
        assert_eq!(spent.busiest(), [("a".to_owned(), 25), ("b".to_owned(), 1)]);
    }
}
