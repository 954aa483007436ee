//! Work that would block, on a thread of its own.

use crate::app::App;
use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    thread,
};

impl App {
    /// Does what would block on a thread of its own, and waits for the result. `None` if it panicked, or no thread
    /// could be started.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let job = Arc::new(Mutex::new(Job {
            ended: false,
            result: None,
            waker: None,
        }));
        let worker = Worker(job.clone());
        let started = thread::Builder::new().spawn(move || {
            let result = work();
            lock(&worker.0).result = Some(result);
        });
        if let Err(error) = started {
            self.error(format_args!("no thread for what blocks: {error}"));
        }
        poll_fn(|context| {
            let mut job = lock(&job);
            if job.ended {
                return Poll::Ready(job.result.take());
            }
            job.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

struct Job<T> {
    ended: bool,
    result: Option<T>,
    waker: Option<Waker>,
}

/// Ends with its thread, however that ends.
struct Worker<T>(Arc<Mutex<Job<T>>>);

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        let mut job = lock(&self.0);
        job.ended = true;
        let waker = job.waker.take();
        drop(job);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn lock<T>(job: &Mutex<Job<T>>) -> MutexGuard<'_, Job<T>> {
    job.lock().unwrap_or_else(PoisonError::into_inner)
}
