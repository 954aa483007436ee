//! How much a call may compute, and what ends it when it computes more.
//!
//! A *call* is one message, event or load, from its first line to its end, through all its awaits. The VM's interrupt
//! (Luau asks it at every loop turn, call and return, and inside pattern matching) looks whether the call has used up
//! its time; once it has, every further interrupt of this call raises, so `pcall` only gets as far as its own next
//! step, and a coroutine gets no further than the function that resumed it.
//!
//! Only time inside the VM counts: a call is entered around every poll ([`Budgeted`]) or synchronous piece
//! ([`Budget::enter`]). Script code that runs outside of any call is refused.
//!
//! Not here: memory's hard limit (mlua's allocator), and limits on what a call does to others (pushes, RPC).

mod budgeted;

pub use budgeted::Budgeted;

use crate::{
    clock,
    error::{Location, ScriptError, Trace},
};
use mlua::{Lua, VmState, WeakLua};
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    rc::Rc,
    time::Duration,
};

/// What one call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Time inside the VM.
    pub cpu: Duration,
    /// Time from its start to its end, waiting included.
    pub deadline: Duration,
    /// What it may ask of others, by [`Spend`].
    pub spend: [u32; Spend::COUNT],
}

/// What a call asks of others, and may ask only so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spend {
    /// Messages pushed to channels, users or everybody.
    Pushes,
    /// Calls of other servers, sessions elsewhere included.
    RpcCalls,
    /// Timers set.
    Timers,
}

impl Spend {
    const COUNT: usize = 3;
}

impl fmt::Display for Spend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pushes => "pushes",
            Self::RpcCalls => "calls of other servers",
            Self::Timers => "timers",
        })
    }
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(100),
            deadline: Duration::from_secs(30),
            spend: [1000; Spend::COUNT],
        }
    }
}

/// The watch over one VM. Cheap to clone.
#[derive(Clone, Default)]
pub struct Budget(Rc<Watch>);

#[derive(Default)]
struct Watch {
    /// The call whose code runs now; none between polls.
    current: RefCell<Option<Rc<Call>>>,
    /// When the current call was entered, on the coarse clock.
    entered: Cell<u64>,
    /// From when on the time has to be looked at; 0 without a call, so that code outside of calls is noticed at once.
    look_at: Cell<u64>,
    lua: RefCell<Option<WeakLua>>,
    memory_limit: Cell<usize>,
    /// At how many bytes the interrupt collects garbage.
    collect_at: Cell<usize>,
    /// It did so, with all that the current call holds, and so `collect_at` may be too high for the next.
    has_collected: Cell<bool>,
}

/// One call: its limits and what it has used.
#[derive(Debug)]
pub struct Call {
    limits: CallLimits,
    /// Time inside the VM so far, without the current stretch, on the coarse clock.
    used: Cell<u64>,
    suspect: RefCell<Option<Suspect>>,
    ended: Cell<Option<Ended>>,
    at: RefCell<Option<Location>>,
    trace: RefCell<Option<Trace>>,
    printed: Cell<u32>,
    spent: Cell<[u32; Spend::COUNT]>,
}

/// A call that has used half of its time by the coarse clock. That clock also runs while the thread has no processor,
/// so the second half is measured in processor time: a busy machine cannot make a harmless call fail.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    used: u64,
    entered: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Cpu,
    Deadline,
    Spent(Spend),
    /// Nobody waits for it any more.
    Dropped,
}

impl Budget {
    /// The watch over a VM with this much memory.
    pub(crate) fn new(memory_limit: usize) -> Self {
        let budget = Self::default();
        let memory_limit = if memory_limit == 0 {
            usize::MAX
        } else {
            memory_limit
        };
        budget.0.memory_limit.set(memory_limit);
        budget.0.collect_at.set(memory_limit / 2);
        budget
    }

    /// From now on the VM asks this watch.
    pub(crate) fn install(&self, lua: &Lua) {
        self.0.lua.replace(Some(lua.weak()));
        let watch = Rc::clone(&self.0);
        let turn = Cell::new(0_u8);
        lua.set_interrupt(move |lua| {
            if clock::coarse() >= watch.look_at.get() {
                watch.refuse_if_over(lua)?;
            }
            // Between two looks at the memory it may well grow: there is as much again before the limit. Time is looked
            // at every time, because a single step may be a long one.
            turn.set(turn.get().wrapping_add(1));
            if turn.get().is_multiple_of(8) && lua.used_memory() >= watch.collect_at.get() {
                watch.collect(lua);
                watch.has_collected.set(true);
                watch.afford(lua)?;
            }
            Ok(VmState::Continue)
        });
    }

    /// A call that has used nothing yet.
    pub fn call(limits: CallLimits) -> Rc<Call> {
        Rc::new(Call {
            limits,
            used: Cell::new(0),
            suspect: RefCell::new(None),
            ended: Cell::new(None),
            at: RefCell::new(None),
            trace: RefCell::new(None),
            printed: Cell::new(0),
            spent: Cell::default(),
        })
    }

    /// Until the guard is dropped, what the VM does is done by this call. May be nested.
    pub fn enter(&self, call: &Rc<Call>) -> Entered<'_> {
        let outer = self.0.switch(Some(Rc::clone(call)));
        Entered {
            watch: &self.0,
            outer,
        }
    }

    /// The same for a future, around every poll, with the call's deadline. If the call is ended, the reason is the
    /// result.
    pub fn watch<T, F: Future<Output = Result<T, ScriptError>> + Unpin>(
        &self,
        limits: CallLimits,
        future: F,
    ) -> Budgeted<F> {
        Budgeted::new(self.clone(), Self::call(limits), future)
    }

    /// Whether the current call has used up its time: for work on a script's behalf that runs no script.
    pub fn is_over(&self) -> bool {
        clock::coarse() >= self.0.look_at.get()
            && self.0.look().is_some_and(|call| call.ended.get().is_some())
    }

    /// Why the current call was ended, if it was.
    pub(crate) fn verdict(&self) -> Option<ScriptError> {
        self.0.current.borrow().as_ref()?.verdict()
    }

    /// Whether the VM is within its memory, after a collection if need be.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn afford(&self, lua: &Lua) -> mlua::Result<()> {
        if lua.used_memory() > self.0.memory_limit.get() {
            self.0.collect(lua);
            self.0.afford(lua)?;
        }
        Ok(())
    }

    pub(crate) fn memory_limit(&self) -> usize {
        self.0.memory_limit.get()
    }

    /// Collects garbage after a failure, and says whether more than half of the memory is still in use.
    pub(crate) fn is_strained(&self, lua: &Lua) -> bool {
        self.0.collect(lua);
        lua.used_memory() > self.0.memory_limit.get() / 2
    }

    pub(crate) fn keep_trace(&self, trace: Trace) {
        if let Some(call) = &*self.0.current.borrow() {
            call.trace.replace(Some(trace));
        }
    }

    pub(crate) fn take_trace(&self) -> Trace {
        self.0
            .current
            .borrow()
            .as_ref()
            .and_then(|call| call.trace.take())
            .unwrap_or_default()
    }

    /// Counts something that the current call asks of others. Over its limit the call ends as if its time were up.
    ///
    /// # Errors
    /// It is over. What a script makes of the error does not matter any more.
    pub fn spend(&self, lua: &Lua, what: Spend) -> mlua::Result<()> {
        let Some(call) = self.0.current.borrow().clone() else {
            return Ok(());
        };
        let mut spent = call.spent.get();
        spent[what as usize] += 1;
        call.spent.set(spent);
        if spent[what as usize] <= call.limits.spend[what as usize] {
            return Ok(());
        }
        if call.ended.get().is_none() {
            call.ended.set(Some(Ended::Spent(what)));
            call.at.replace(Location::of_script(lua));
        }
        // Every step of the call is refused from here on.
        self.0.look_at.set(0);
        Err(mlua::Error::runtime(format!("more {what} than a call may make")))
    }

    /// Counts a line that the current call prints, from 1.
    pub(crate) fn count_print(&self) -> u32 {
        let current = self.0.current.borrow();
        let Some(call) = &*current else { return 1 };
        call.printed.set(call.printed.get().saturating_add(1));
        call.printed.get()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("current", &self.0.current.borrow())
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Stops the clocks of the current call and starts those of the next.
    fn switch(&self, next: Option<Rc<Call>>) -> Option<Rc<Call>> {
        let now = clock::coarse();
        let mut current = self.current.borrow_mut();
        if let Some(call) = &*current {
            call.used
                .set(call.used.get() + now.saturating_sub(self.entered.get()));
            if let Some(suspect) = &mut *call.suspect.borrow_mut() {
                suspect.used += clock::thread_cpu().saturating_sub(suspect.entered);
            }
        }
        self.entered.set(now);
        self.look_at.set(0);
        if let Some(call) = &next
            && call.ended.get().is_none()
        {
            match &mut *call.suspect.borrow_mut() {
                Some(suspect) => suspect.entered = clock::thread_cpu(),
                None => self
                    .look_at
                    .set(now + call.half().saturating_sub(call.used.get())),
            }
        }
        let previous = std::mem::replace(&mut *current, next);
        drop(current);
        if self.has_collected.replace(false)
            && let Some(lua) = self.lua.borrow().as_ref().and_then(WeakLua::try_upgrade)
        {
            self.collect(&lua);
        }
        previous
    }

    /// Looks at the current call's clocks and ends it if it is over.
    fn look(&self) -> Option<Rc<Call>> {
        let call = self.current.borrow().clone()?;
        if call.ended.get().is_some() {
            return Some(call);
        }
        let now = clock::coarse();
        let mut suspect = call.suspect.borrow_mut();
        match &*suspect {
            None => {
                if call.used.get() + now.saturating_sub(self.entered.get()) >= call.half() {
                    *suspect = Some(Suspect {
                        used: 0,
                        entered: clock::thread_cpu(),
                    });
                }
            }
            Some(suspect) => {
                if suspect.used + clock::thread_cpu().saturating_sub(suspect.entered) >= call.half() {
                    call.ended.set(Some(Ended::Cpu));
                }
            }
        }
        let is_suspect = suspect.is_some();
        drop(suspect);
        if call.ended.get().is_none() && is_suspect {
            // Again at the next tick.
            self.look_at.set(now + 1);
        }
        Some(call)
    }

    fn refuse_if_over(&self, lua: &Lua) -> mlua::Result<()> {
        let Some(call) = self.look() else {
            return Err(mlua::Error::runtime("script code ran outside of a call"));
        };
        if call.ended.get().is_none() {
            return Ok(());
        }
        self.look_at.set(0);
        if is_waiting(lua) {
            return Ok(());
        }
        let mut at = call.at.borrow_mut();
        if at.is_none() {
            *at = Location::of_script(lua);
        }
        Err(mlua::Error::runtime("the call has used up its time"))
    }

    fn afford(&self, lua: &Lua) -> mlua::Result<()> {
        if lua.used_memory() > self.memory_limit.get() {
            return Err(mlua::Error::MemoryError("not enough memory".to_owned()));
        }
        Ok(())
    }

    /// Luau's collector works in steps and does not hurry when the limit is near: scripts that make much garbage would
    /// run into it with hardly anything alive. What is alive decides when to collect next, so that a full VM is not
    /// collected all the time.
    fn collect(&self, lua: &Lua) {
        let limit = self.memory_limit.get();
        // If there is no memory even for this, the next allocation says so.
        let _ = lua.gc_collect();
        let used = lua.used_memory();
        self.collect_at
            .set((limit / 2).max(used + limit.saturating_sub(used) / 2));
    }
}

/// Whether it is no script that runs, but what mlua wraps around a host function that waits. When a waiting call is
/// dropped, that has to run once more to drop what was waited for; else it would live until garbage is collected.
/// (As it does if a script waits in a coroutine of its own.)
fn is_waiting(lua: &Lua) -> bool {
    lua.inspect_stack(0, |frame| {
        frame.source().source.as_deref() == Some("=__mlua_async_poll")
    })
    .unwrap_or(false)
}

impl Call {
    fn half(&self) -> u64 {
        u64::try_from(self.limits.cpu.as_nanos()).unwrap_or(u64::MAX) / 2
    }

    fn verdict(&self) -> Option<ScriptError> {
        Some(match self.ended.get()? {
            Ended::Cpu => ScriptError::Cpu {
                limit: self.limits.cpu,
                at: self.at.borrow().clone(),
            },
            Ended::Deadline => ScriptError::Deadline {
                limit: self.limits.deadline,
            },
            Ended::Spent(what) => ScriptError::Spent {
                what,
                limit: self.limits.spend[what as usize],
                at: self.at.borrow().clone(),
            },
            Ended::Dropped => ScriptError::Dropped,
        })
    }
}

/// A call is entered while this lives.
#[derive(Debug)]
pub struct Entered<'a> {
    watch: &'a Watch,
    outer: Option<Rc<Call>>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.watch.switch(self.outer.take());
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("current", &self.current.borrow())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
