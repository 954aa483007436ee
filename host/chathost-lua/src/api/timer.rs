//! Time: timers that belong to their generation, and the clock and the chance that tests can replace.

use super::{Class, Context, Registry};
use crate::budget::Spend;
use chathost_core::error::CallError;
use mlua::{Function, Lua, Value};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};
use tokio::{sync::oneshot, task::AbortHandle, time};

/// Timers that one VM may have set at a time.
const LIMIT: usize = 10_000;

/// The timers of one VM.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    last: Cell<u64>,
    running: RefCell<HashMap<u64, (Repeat, AbortHandle)>>,
}

/// Whether a timer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// `setTimeout`. One that is set keeps its generation alive.
    Once,
    /// `setInterval`. It ends when its generation is replaced.
    Always,
}

impl Timers {
    /// Timers of a kind that are set.
    pub(crate) fn count(&self, repeat: Repeat) -> usize {
        self.running
            .borrow()
            .values()
            .filter(|(of, _)| *of == repeat)
            .count()
    }

    /// Ends all timers of a kind.
    pub(crate) fn end(&self, repeat: Repeat) {
        self.running.borrow_mut().retain(|_, (of, timer)| {
            if *of == repeat {
                timer.abort();
            }
            *of != repeat
        });
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.running
            .borrow()
            .values()
            .for_each(|(_, timer)| timer.abort());
    }
}

pub(super) fn register(_: &Registry<'_>, app: &Class<'_>) -> mlua::Result<()> {
    app.method(
        "setTimeout",
        |context, lua, (_, function, milliseconds): (Value, Function, f64)| {
            start(context, lua, function, duration(milliseconds), Repeat::Once)
        },
    )?;
    app.method(
        "setInterval",
        |context, lua, (_, function, milliseconds): (Value, Function, f64)| {
            start(context, lua, function, duration(milliseconds), Repeat::Always)
        },
    )?;
    for name in ["clearTimeout", "clearInterval"] {
        app.method(name, |context, _, (_, id): (Value, Option<u64>)| {
            let running = id.and_then(|id| context.timers.running.borrow_mut().remove(&id));
            if let Some((_, timer)) = running {
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

fn start(
    context: &Rc<Context>,
    lua: &Lua,
    function: Function,
    after: Duration,
    repeat: Repeat,
) -> mlua::Result<u64> {
    context.spend(lua, Spend::Timers)?;
    let timers = &context.timers;
    if timers.running.borrow().len() >= LIMIT {
        return Err(mlua::Error::runtime(format!("more than {LIMIT} timers are set")));
    }
    let id = timers.last.get() + 1;
    timers.last.set(id);
    let context = context.clone();
    // One that is set while its file loads begins to run when the file begins to serve.
    context.app.clone().install(move |app| {
        let timer = match repeat {
            Repeat::Once => {
                let held = context.hold();
                let weak = Rc::downgrade(&context);
                app.tasks.spawn(async move {
                    time::sleep(after).await;
                    if let Some(context) = weak.upgrade() {
                        // From here on it cannot be cleared.
                        context.timers.running.borrow_mut().remove(&id);
                        run(&context, function).await;
                    }
                    drop(held);
                })
            }
            Repeat::Always => {
                let weak = Rc::downgrade(&context);
                app.tasks.spawn(async move {
                    loop {
                        time::sleep(after).await;
                        let Some(context) = weak.upgrade() else { return };
                        // The next turn begins when this one is over.
                        run(&context, function.clone()).await;
                    }
                })
            }
        };
        context.timers.running.borrow_mut().insert(id, (repeat, timer));
    });
    Ok(id)
}

/// Runs in a job of its own, which the server counts and waits for when it ends, whatever becomes of the timer.
async fn run(context: &Rc<Context>, function: Function) {
    let call = context.call::<Value, ()>(function, |_| Ok(()));
    let (done, ended) = oneshot::channel::<()>();
    let held = context.hold();
    context.app.lanes.run_now(Box::pin(async move {
        if let (Err(error), Some(held)) = (call.await, &held) {
            held.context.log_error("a timer", None, &error);
        }
        drop(done);
    }));
    drop(ended.await);
}
