//! The future of one call: counts the time of its polls, and ends it at its deadline.
//!
//! It knows nothing of scripts; what is measured while it is polled is in the parent module.

use super::{Budget, Call, Ended};
use crate::error::ScriptError;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};
use tokio::time::{Sleep, sleep};

/// A future of one call. See [`Budget::watch`].
pub struct Budgeted<F> {
    budget: Budget,
    call: Rc<Call>,
    /// `None` when it is over.
    future: Option<F>,
    /// A timer only exists once the call waits; most never do.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<F> Budgeted<F> {
    pub(super) fn new(budget: Budget, call: Rc<Call>, future: F) -> Self {
        Self {
            budget,
            call,
            future: Some(future),
            deadline: None,
        }
    }

    /// Drops the future inside the call: what its coroutine still wants to do then is stopped at once.
    fn end(&mut self, why: Ended) {
        let Some(future) = self.future.take() else { return };
        if self.call.ended.get().is_none() {
            self.call.ended.set(Some(why));
        }
        let _entered = self.budget.enter(&self.call);
        drop(future);
    }
}

impl<T, F: Future<Output = Result<T, ScriptError>> + Unpin> Future for Budgeted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            this.end(Ended::Deadline);
        }
        let polled = match &mut this.future {
            Some(future) => {
                let _entered = this.budget.enter(&this.call);
                let polled = Pin::new(future).poll(context);
                if polled.is_ready() {
                    // Dropping it is still part of the call.
                    this.future = None;
                }
                polled
            }
            None => Poll::Pending,
        };
        if polled.is_pending() && this.future.is_some() && this.deadline.is_none() {
            let mut deadline = Box::pin(sleep(this.call.limits.deadline));
            // Polled, so that it wakes this task.
            if deadline.as_mut().poll(context).is_ready() {
                this.end(Ended::Deadline);
            }
            this.deadline = Some(deadline);
        }
        if let Some(verdict) = this.call.verdict() {
            this.end(Ended::Dropped);
            return Poll::Ready(Err(verdict));
        }
        polled
    }
}

impl<F> Drop for Budgeted<F> {
    fn drop(&mut self) {
        self.end(Ended::Dropped);
    }
}

impl<F> fmt::Debug for Budgeted<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgeted")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
