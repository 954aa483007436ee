//! Time: timers that belong to their generation, and the clock and the chance that tests can replace.

use super::{Class, Context, Registry};
use chathost_core::error::CallError;
use mlua::{Function, Value};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};
use tokio::{task::AbortHandle, time};

/// Timers that one VM may have set at a time.
const LIMIT: usize = 10_000;

/// The timers of one VM. They end with it.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    last: Cell<u64>,
    running: RefCell<HashMap<u64, AbortHandle>>,
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.running.borrow().values().for_each(AbortHandle::abort);
    }
}

pub(super) fn register(_: &Registry<'_>, app: &Class<'_>) -> mlua::Result<()> {
    app.method(
        "setTimeout",
        |context, _, (_, function, milliseconds): (Value, Function, f64)| {
            start(context, function, duration(milliseconds), false)
        },
    )?;
    app.method(
        "setInterval",
        |context, _, (_, function, milliseconds): (Value, Function, f64)| {
            start(context, function, duration(milliseconds), true)
        },
    )?;
    for name in ["clearTimeout", "clearInterval"] {
        app.method(name, |context, _, (_, id): (Value, Option<u64>)| {
            let running = id.and_then(|id| context.timers.running.borrow_mut().remove(&id));
            if let Some(timer) = running {
                timer.abort();
            }
            Ok(())
        })?;
    }
    app.waiting("sleep", |_, _, (_, milliseconds): (Value, f64)| async move {
        time::sleep(duration(milliseconds)).await;
        Ok::<_, CallError>(())
    })
}

/// As JavaScript's: at least a millisecond, and what is no number is one.
fn duration(milliseconds: f64) -> Duration {
    let milliseconds = if milliseconds.is_nan() {
        1.0
    } else {
        milliseconds.clamp(1.0, 2_147_483_647.0)
    };
    Duration::from_secs_f64(milliseconds / 1000.0)
}

fn start(context: &Rc<Context>, function: Function, after: Duration, again: bool) -> mlua::Result<u64> {
    let timers = &context.timers;
    if timers.running.borrow().len() >= LIMIT {
        return Err(mlua::Error::runtime(format!("more than {LIMIT} timers are set")));
    }
    let id = timers.last.get() + 1;
    timers.last.set(id);
    let weak = Rc::downgrade(context);
    let task = tokio::task::spawn_local(async move {
        loop {
            time::sleep(after).await;
            let Some(context) = weak.upgrade() else { return };
            if !again {
                // From here on it cannot be cleared.
                context.timers.running.borrow_mut().remove(&id);
            }
            let call = context.call::<Value, ()>(function.clone(), |_| Ok(()));
            let (app, context) = (context.app.clone(), Rc::downgrade(&context));
            // What runs is counted, so that the server waits for it when it ends.
            let (done, ended) = tokio::sync::oneshot::channel::<()>();
            app.lanes.run_now(Box::pin(async move {
                if let (Err(error), Some(context)) = (call.await, context.upgrade()) {
                    context.log_error("a timer", None, &error);
                }
                drop(done);
            }));
            drop(app);
            // An interval's next turn begins when this one is over.
            drop(ended.await);
            if !again {
                return;
            }
        }
    });
    timers.running.borrow_mut().insert(id, task.abort_handle());
    Ok(id)
}
