//! One request of a session at a time.
//!
//! Requests of a session start in the order in which they arrived at the server that executes them, and one runs to
//! its end, awaits included, before the next one starts. Requests of different sessions interleave at awaits. A route
//! may opt out ([`crate::handler::Method::concurrent`]). What runs is counted, so that a server can end when the last one
//! has.

use crate::{busy::Busy, envelope::ServerId, map::Map, tasks::Tasks};
use futures_util::future::LocalBoxFuture;
use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Something to run to its end.
pub type Job = LocalBoxFuture<'static, ()>;

/// Begins something. Most handlers end without waiting, and need neither a task nor a future of their own: a [`Job`] is
/// what is left of the others.
type Begin = Box<dyn FnOnce() -> Option<Job>>;

/// A session, seen from any server: the frontend it lives on and its id there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaneKey {
    /// The frontend's id.
    pub frontend_id: ServerId,
    /// The session's id on that frontend.
    pub sid: u64,
}

/// The lanes of one server.
#[derive(Default)]
pub struct Lanes {
    /// What waits, for each session of which something waits or runs on in a task.
    waiting: RefCell<Map<LaneKey, VecDeque<Begin>>>,
    busy: Busy,
    tasks: Tasks,
}

/// Where something may run.
pub(crate) struct Place {
    lanes: Rc<Lanes>,
    /// `None`: beside all others.
    lane: Option<LaneKey>,
}

impl Lanes {
    /// Nothing runs. What has to wait goes on in one of these tasks.
    pub(crate) fn new(tasks: Tasks) -> Self {
        Self {
            tasks,
            ..Self::default()
        }
    }

    /// The end of a session's lane; `None` when `limit` wait there already.
    pub(crate) fn place(self: &Rc<Self>, lane: LaneKey, limit: usize) -> Option<Place> {
        let waiting = self.waiting.borrow();
        let has_room = waiting.get(&lane).is_none_or(|waiting| waiting.len() < limit);
        has_room.then(|| Place {
            lanes: self.clone(),
            lane: Some(lane),
        })
    }

    /// A place beside all lanes.
    pub(crate) fn beside(self: &Rc<Self>) -> Place {
        Place {
            lanes: self.clone(),
            lane: None,
        }
    }

    /// Runs a job beside all others.
    pub fn run_now(self: &Rc<Self>, job: Job) {
        self.beside().run_job(job);
    }

    /// Jobs that have begun and not ended.
    pub fn running(&self) -> usize {
        self.busy.count()
    }

    /// Resolves when nothing runs.
    pub async fn drained(&self) {
        self.busy.drained().await;
    }

    /// What waits in a lane runs, one after the other.
    fn go_on(self: &Rc<Self>, lane: LaneKey) {
        while let Some(next) = self.next(&lane) {
            if let Some(rest) = self.begin(next) {
                return self.finish(rest, Some(lane));
            }
        }
    }

    fn begin(&self, begin: impl FnOnce() -> Option<Job>) -> Option<Job> {
        self.busy.begin();
        let rest = begin();
        if rest.is_none() {
            self.busy.end();
        }
        rest
    }

    fn finish(self: &Rc<Self>, rest: Job, lane: Option<LaneKey>) {
        let lanes = self.clone();
        self.tasks.spawn(async move {
            rest.await;
            lanes.busy.end();
            if let Some(lane) = lane {
                lanes.go_on(lane);
            }
        });
    }

    fn next(&self, lane: &LaneKey) -> Option<Begin> {
        let mut waiting = self.waiting.borrow_mut();
        let next = waiting.get_mut(lane)?.pop_front();
        if next.is_none() {
            waiting.remove(lane);
        }
        next
    }
}

impl Place {
    /// Begins when what came before in its lane has ended.
    pub(crate) fn run(self, begin: impl FnOnce() -> Option<Job> + 'static) {
        let Self { lanes, lane } = self;
        if let Some(lane) = &lane
            && let Some(waiting) = lanes.waiting.borrow_mut().get_mut(lane)
        {
            return waiting.push_back(Box::new(begin));
        }
        let Some(rest) = lanes.begin(begin) else { return };
        // Not before: what begins cannot meet another message of its session, those come from a socket or a mailbox.
        if let Some(lane) = &lane {
            lanes.waiting.borrow_mut().insert(lane.clone(), VecDeque::new());
        }
        lanes.finish(rest, lane);
    }

    /// The same for what may wait from its beginning on.
    pub(crate) fn run_job(self, mut job: Job) {
        // Whoever polls again, in a task, brings the waker that counts.
        self.run(
            || match job.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(()) => None,
                Poll::Pending => Some(job),
            },
        );
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
            let run = |sid, job| -> Option<()> {
                lanes.place(key(sid), 2)?.run_job(job);
                Some(())
            };
            run(1, write("first", Some(gate))).unwrap();
            run(1, write("second", None)).unwrap();
            run(1, write("third", None)).unwrap();
            assert_eq!(run(1, write("too many", None)), None);
            run(2, write("another session", None)).unwrap();
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
