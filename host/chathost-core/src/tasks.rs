//! Tasks of one server, which may share its thread with others.
//!
//! A thread that is one server's ends its tasks with its runtime, and is in the server's span all the time. Where servers
//! share one, each has its tasks here: they end when it does, and what they log is said to be its.

use std::{
    cell::RefCell,
    future::{pending, poll_fn},
    rc::Rc,
    task::{Poll, ready},
};
use tokio::task::{AbortHandle, JoinSet, spawn_local};
use tracing::{Instrument, Span, instrument::Instrumented};

/// Starts a server's tasks.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Option<Rc<Shared>>);

/// Of a server beside others.
#[derive(Debug)]
struct Shared {
    span: Span,
    running: RefCell<JoinSet<()>>,
}

impl Tasks {
    /// Of a server that shares its thread.
    pub(crate) fn shared(span: Span) -> Self {
        let running = RefCell::default();
        Self(Some(Rc::new(Shared { span, running })))
    }

    /// Runs a future on this thread.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> AbortHandle {
        match &self.0 {
            None => spawn_local(future).abort_handle(),
            Some(shared) => {
                let future = self.in_span(future);
                shared.running.borrow_mut().spawn_local(future)
            }
        }
    }

    /// A future that somebody else runs, in the server's span.
    pub(crate) fn in_span<F: Future>(&self, future: F) -> Instrumented<F> {
        let span = self.0.as_ref().map_or(Span::none(), |shared| shared.span.clone());
        future.instrument(span)
    }

    /// Forgets tasks that have ended, and does not end.
    pub(crate) async fn reap(&self) {
        // An empty set does not remember whom to wake, so there is always one.
        self.spawn(pending());
        let Some(shared) = &self.0 else { return };
        poll_fn(|context| {
            while ready!(shared.running.borrow_mut().poll_join_next(context)).is_some() {}
            Poll::<()>::Pending
        })
        .await;
    }

    /// Ends all, those included that are started by what the others drop.
    pub(crate) async fn end(&self) {
        let Some(shared) = &self.0 else { return };
        while !shared.running.borrow().is_empty() {
            let mut running = shared.running.take();
            running.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        runtime::{Builder, LocalOptions},
        task::yield_now,
    };

    /// Says when it is dropped, and starts another task then.
    struct Dropped(Tasks, Rc<()>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            let held = self.1.clone();
            self.0.spawn(async move {
                pending::<()>().await;
                drop(held);
            });
        }
    }

    fn shared() -> (Tasks, Rc<()>) {
        (Tasks::shared(Span::none()), Rc::new(()))
    }

    fn block_on(test: impl Future<Output = ()>) {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default());
        runtime.unwrap().block_on(test);
    }

    #[test]
    fn nothing_stays() {
        block_on(async {
            let (tasks, held) = shared();
            for _ in 0..10 {
                let held = Dropped(tasks.clone(), held.clone());
                tasks.spawn(async move {
                    pending::<()>().await;
                    drop(held);
                });
            }
            yield_now().await;
            tasks.end().await;
            assert_eq!(Rc::strong_count(&held), 1);
        });
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        block_on(async {
            let (tasks, _held) = shared();
            let count = || tasks.0.as_ref().unwrap().running.borrow().len();
            let reaping = tasks.clone();
            spawn_local(async move { reaping.reap().await });
            yield_now().await;
            for _ in 0..10 {
                tasks.spawn(async {});
                tasks.spawn(async { panic!("of one task") });
            }
            assert_eq!(count(), 21);
            for _ in 0..10 {
                yield_now().await;
            }
            assert_eq!(count(), 1, "the one that is always there");
        });
    }
}
