//! How one task of a thread wakes another. A leaf.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Context, Poll, Waker},
};

/// tokio's `Notify` for one waiting task, woken on its own thread: without the list of those who wait, in which each task
/// would keep room for its place (a sixth of what the task of a connection takes), and without its lock.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Wake {
    /// Wakes the task, or lets it go on when it is about to wait.
    pub(crate) fn wake(&self) {
        self.called.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Ready once for all calls since it was ready the last time.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if self.called.take() {
            return Poll::Ready(());
        }
        let waker = || context.waker().clone();
        self.waker
            .borrow_mut()
            .get_or_insert_with(waker)
            .clone_from(context.waker());
        Poll::Pending
    }

    /// Resolves once for all calls since it did the last time.
    pub(crate) async fn called(&self) {
        poll_fn(|context| self.poll(context)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task,
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn wakes_once_for_all_calls() {
        let wake = Wake::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let mut woken = pin!(poll_fn(|context| wake.poll(context)));
        let mut is_ready = || woken.as_mut().poll(&mut context).is_ready();
        wake.wake();
        assert!(is_ready(), "called before");
        assert!(!is_ready() && !is_ready());
        wake.wake();
        wake.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(is_ready());
        assert!(!is_ready());
        // A task that waits no more, for one that does.
        let other = Arc::new(Count::default());
        assert!(
            wake.poll(&Context::from_waker(&Waker::from(other.clone())))
                .is_pending()
        );
        wake.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(other.0.load(Ordering::Relaxed), 1);
    }
}
