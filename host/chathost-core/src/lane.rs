//! One request of a session at a time.
//!
//! Requests of a session start in the order in which they arrived at the server that executes them, and one runs to
//! its end, awaits included, before the next one starts. Requests of different sessions interleave at awaits. A route
//! may opt out ([`Lanes::run_now`]). What runs is counted, so that a server can end when the last one has.

use crate::{busy::Busy, envelope::ServerId, map::Map};
use futures_util::{future::LocalBoxFuture, task::noop_waker_ref};
use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt,
    rc::Rc,
    task::{Context, Poll},
};

/// Something to run to its end.
pub type Job = LocalBoxFuture<'static, ()>;

/// A session, seen from any server: the frontend it lives on and its id there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaneKey {
    /// The frontend's id.
    pub frontend_id: ServerId,
    /// The session's id on that frontend.
    pub sid: u64,
}

/// The lanes of one server, one for each session that has a request running.
#[derive(Default)]
pub struct Lanes {
    waiting: RefCell<Map<LaneKey, VecDeque<Job>>>,
    busy: Busy,
}

/// The lane is as long as it may get; the job was not taken.
#[derive(Debug, PartialEq, Eq)]
pub struct LaneFull;

impl Lanes {
    /// Runs a job after those of its session that came before.
    ///
    /// # Errors
    /// When `limit` jobs of the session wait already.
    pub fn run(self: &Rc<Self>, key: LaneKey, limit: usize, job: Job) -> Result<(), LaneFull> {
        if let Some(lane) = self.waiting.borrow_mut().get_mut(&key) {
            if lane.len() >= limit {
                return Err(LaneFull);
            }
            lane.push_back(job);
            return Ok(());
        }
        self.waiting.borrow_mut().insert(key.clone(), VecDeque::new());
        self.drive(key, job);
        Ok(())
    }

    /// Runs a job beside all others.
    pub fn run_now(self: &Rc<Self>, job: Job) {
        let lanes = self.clone();
        if let Some(rest) = self.start(job) {
            tokio::task::spawn_local(async move {
                rest.await;
                lanes.busy.end();
            });
        }
    }

    /// Jobs that have begun and not ended.
    pub fn running(&self) -> usize {
        self.busy.count()
    }

    /// Resolves when nothing runs.
    pub async fn drained(&self) {
        self.busy.drained().await;
    }

    fn drive(self: &Rc<Self>, key: LaneKey, mut job: Job) {
        loop {
            if let Some(rest) = self.start(job) {
                let lanes = self.clone();
                tokio::task::spawn_local(async move {
                    rest.await;
                    lanes.busy.end();
                    if let Some(next) = lanes.next(&key) {
                        lanes.drive(key, next);
                    }
                });
                return;
            }
            let Some(next) = self.next(&key) else { return };
            job = next;
        }
    }

    /// Polls a job once, in place: most handlers end without waiting, and need no task. Returns what is left.
    fn start(&self, mut job: Job) -> Option<Job> {
        self.busy.begin();
        // Whoever polls again, in a task, brings the waker that counts.
        match job.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(()) => {
                self.busy.end();
                None
            }
            Poll::Pending => Some(job),
        }
    }

    fn next(&self, key: &LaneKey) -> Option<Job> {
        let mut waiting = self.waiting.borrow_mut();
        let next = waiting.get_mut(key)?.pop_front();
        if next.is_none() {
            waiting.remove(key);
        }
        next
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn key(sid: u64) -> LaneKey {
        LaneKey {
            frontend_id: "connector-1".into(),
            sid,
        }
    }

    #[test]
    fn one_at_a_time_in_order() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(Default::default())
            .unwrap();
        runtime.block_on(async {
            let lanes = Rc::new(Lanes::default());
            let log = Rc::new(RefCell::new(Vec::new()));
            let (open, gate) = oneshot::channel::<()>();
            let write = |what: &'static str, wait: Option<oneshot::Receiver<()>>| -> Job {
                let log = log.clone();
                Box::pin(async move {
                    if let Some(wait) = wait {
                        wait.await.ok();
                    }
                    log.borrow_mut().push(what);
                })
            };
            lanes.run(key(1), 2, write("first", Some(gate))).unwrap();
            lanes.run(key(1), 2, write("second", None)).unwrap();
            lanes.run(key(1), 2, write("third", None)).unwrap();
            assert_eq!(lanes.run(key(1), 2, write("too many", None)), Err(LaneFull));
            lanes.run(key(2), 2, write("another session", None)).unwrap();
            lanes.run_now(write("a route that opted out", None));
            open.send(()).unwrap();
            while log.borrow().len() < 5 {
                tokio::task::yield_now().await;
            }
            lanes.drained().await;
            let expected = [
                "another session",
                "a route that opted out",
                "first",
                "second",
                "third",
            ];
            assert_eq!(*log.borrow(), expected);
            assert!(lanes.waiting.borrow().is_empty());
        });
    }
}
