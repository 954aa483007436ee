//! Handlers that are replaced again and again while a scenario runs: what `chathost reload` does, in a thread of its own.

use super::{histogram::Histogram, meter::Part};
use crate::args::Project;
use anyhow::{Context, bail};
use chathost::admin::{self, Reply, Request};
use std::{
    fs,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// The thread. It stops, and the file is as it was, when [`Swapper::end`] was called.
#[derive(Debug)]
pub(crate) struct Swapper {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<Swaps>>,
}

#[derive(Debug, Default)]
struct Swaps {
    times: Histogram,
    unchanged: u64,
    refused: u64,
}

/// What the thread does next.
enum Next {
    Swap,
    End,
    Killed,
}

/// A file with another last line, until this is dropped.
struct Touched {
    path: PathBuf,
    original: Vec<u8>,
}

impl Swapper {
    pub(crate) fn start(project: &Project, touch: Option<&Path>, every: Duration) -> anyhow::Result<Self> {
        let Some(touch) = touch else {
            bail!("swap needs --touch FILE: a handler file of the server")
        };
        let cluster = project.options().load()?;
        let touched = Touched {
            path: touch.to_owned(),
            original: fs::read(touch).with_context(|| touch.display().to_string())?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, mut stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let request = Request::Reload {
                server_type: None,
                dry_run: false,
                allow_removed_routes: false,
            };
            let mut swaps = Swaps::default();
            let mut signals = runtime.block_on(async {
                Ok::<_, std::io::Error>([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?])
            })?;
            loop {
                match runtime.block_on(next(&mut stopped, &mut signals, every)) {
                    Next::Swap => {}
                    Next::End => break,
                    Next::Killed => {
                        // Nobody else would write the file back.
                        drop(touched);
                        std::process::exit(130);
                    }
                }
                touched.touch(swaps.times.count())?;
                let began = Instant::now();
                let reply = runtime.block_on(admin::ask(&cluster, &request))?;
                swaps.times.record(began.elapsed().as_nanos() as u64);
                match reply {
                    Reply::Swaps(rows) => {
                        swaps.refused += rows.iter().filter(|row| !row.problems.is_empty()).count() as u64;
                        swaps.unchanged += u64::from(rows.iter().all(|row| row.unchanged));
                    }
                    Reply::Failed(why) => bail!("{why}"),
                    Reply::Servers(_) => bail!("the host answered something else"),
                }
            }
            Ok(swaps)
        });
        Ok(Self { stop, thread })
    }

    /// Stops, and writes down what it came to.
    pub(crate) fn end(self, part: &mut Part) -> anyhow::Result<()> {
        drop(self.stop);
        let Ok(swaps) = self.thread.join() else {
            bail!("the thread that swaps has died")
        };
        let swaps = swaps.context("swapping")?;
        part.note("swaps", swaps.times.count() as f64, "in all");
        part.note("swaps", swaps.refused as f64, "refused");
        part.note("swaps", swaps.unchanged as f64, "without a change");
        part.note("a swap, p50", swaps.times.quantile(0.5) as f64 / 1e6, "ms");
        part.note("a swap, max", swaps.times.max() as f64 / 1e6, "ms");
        Ok(())
    }
}

async fn next(
    stopped: &mut oneshot::Receiver<()>,
    [interrupt, terminate]: &mut [Signal; 2],
    every: Duration,
) -> Next {
    tokio::select! {
        _ = stopped => Next::End,
        _ = interrupt.recv() => Next::Killed,
        _ = terminate.recv() => Next::Killed,
        () = tokio::time::sleep(every) => Next::Swap,
    }
}

impl Touched {
    fn touch(&self, number: u64) -> anyhow::Result<()> {
        let mut text = self.original.clone();
        text.extend_from_slice(format!("\n-- bench {number}\n").as_bytes());
        fs::write(&self.path, text).with_context(|| self.path.display().to_string())
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        drop(fs::write(&self.path, &self.original));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_as_it_was() {
        let path = std::env::temp_dir().join(format!("chathost-bench-{}.lua", std::process::id()));
        fs::write(&path, "return {}").unwrap();
        let touched = Touched {
            path: path.clone(),
            original: fs::read(&path).unwrap(),
        };
        touched.touch(3).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "return {}\n-- bench 3\n");
        drop(touched);
        assert_eq!(fs::read_to_string(&path).unwrap(), "return {}");
        fs::remove_file(path).unwrap();
    }
}
