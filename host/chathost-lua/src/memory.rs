//! Where a VM's memory limit is in force: where script code runs.
//!
//! With a limit mlua protects every single step that may allocate (a string, a table, a field) by a `pcall`, which costs
//! many times the step: the demo's `chat.send` took 96,000 instructions with it, and 74,000 without. So functions of the
//! host work without it, and what they made is counted when they return ([`lifted`]).
//!
//! [`impose`] is for whoever enters script code, [`lifted`] and [`lift`] for whoever is called by it. They nest, because a
//! function of the host may come to run a script again. The parts of a function that waits which run after the wait have
//! the limit of the script around them.

use crate::budget::Budget;
use mlua::Lua;

/// Until it is dropped another limit is in force.
#[derive(Debug)]
pub(crate) struct Limit<'a> {
    lua: &'a Lua,
    before: usize,
}

/// Script code runs: this many bytes, and 0 for any number.
pub(crate) fn impose(lua: &Lua, bytes: usize) -> Limit<'_> {
    // It can only fail for a VM that has no limits at all.
    let before = lua.set_memory_limit(bytes).unwrap_or(0);
    Limit { lua, before }
}

/// The host works, and what it makes is small or is counted by whoever asked.
pub(crate) fn lift(lua: &Lua) -> Limit<'_> {
    impose(lua, 0)
}

/// The host works for a script. Whoever calls that again and again, and keeps what it makes, gets no further than with
/// tables of its own.
pub(crate) fn lifted<T>(
    lua: &Lua,
    budget: &Budget,
    work: impl FnOnce() -> mlua::Result<T>,
) -> mlua::Result<T> {
    let made = {
        let _lifted = lift(lua);
        work()?
    };
    budget.afford(lua)?;
    Ok(made)
}

impl Drop for Limit<'_> {
    fn drop(&mut self) {
        let _ = self.lua.set_memory_limit(self.before);
    }
}
