//! Where a VM's memory limit is in force: exactly where script code runs.
//!
//! With a limit mlua protects every single step that may allocate (a string, a table, a field) by a `pcall`, which costs
//! many times the step: the demo's `chat.send` took 96,000 instructions with it, and 74,000 without. What the host does
//! for a script is bounded by other limits (bytes of JSON, members, arguments), so it does that without.
//!
//! [`impose`] is for whoever enters script code, [`lift`] for whoever is called by it. They nest, because a function of
//! the host may come to run a script again.

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

/// The host works.
pub(crate) fn lift(lua: &Lua) -> Limit<'_> {
    impose(lua, 0)
}

impl Drop for Limit<'_> {
    fn drop(&mut self) {
        let _ = self.lua.set_memory_limit(self.before);
    }
}
