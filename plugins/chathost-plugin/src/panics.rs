//! A panic ends the call that panicked, and nothing else: it does not leave the library.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::Once,
    task::Poll,
};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What a panic says goes to the server's log, with file and line, and not to standard error. For this library alone:
/// it has a standard library of its own.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            if CATCHING.get() {
                SAID.with_borrow_mut(|said| *said = panicked.to_string());
            } else {
                before(panicked);
            }
        }));
    });
}

/// Runs it; an error is what the panic said.
pub(crate) fn catch<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    let outer = CATCHING.replace(true);
    let caught = catch_inside(work);
    CATCHING.set(outer);
    caught
}

/// As `catch`, for what is run inside one: what the host calls back.
pub(crate) fn catch_inside<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let said = SAID.take();
        if !said.is_empty() {
            return said;
        }
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        format!("panicked: {}", text.unwrap_or_default())
    })
}

/// Polls a future to its end, or to its panic. What it holds is dropped before this resolves.
pub(crate) async fn caught<T>(future: Pin<Box<dyn Future<Output = T>>>) -> Result<T, String> {
    let mut future = Some(future);
    poll_fn(|context| {
        let polled = catch(|| match &mut future {
            Some(running) => {
                let polled = running.as_mut().poll(context);
                if polled.is_ready() {
                    future = None;
                }
                polled
            }
            // Nobody polls what has ended.
            None => Poll::Pending,
        });
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(said) => {
                future = None;
                Poll::Ready(Err(said))
            }
        }
    })
    .await
}
