//! JSON to Lua values and back, without a value in between: the one place for the rules.
//!
//! It knows nothing of sessions or routes; whoever has a body to give to a script, or a script's value to send, comes
//! here. Input is UTF-8 (the wire has already made CESU-8 into it).
//!
//! | JSON | in a script | back |
//! |---|---|---|
//! | `null` as a field, as an argument or alone | `nil`: `if msg.target` means what it says | an absent field; alone `null` |
//! | `null` in an array | `json.null`, so that the array keeps its length | `null` |
//! | an array | a table 1..n that remembers it is an array, even when it is emptied or gets holes | an array, holes as `null` |
//! | `{}` | a table | `{}` |
//! | a number | a double: whole numbers up to 2^53 are exact, larger ones the nearest double (ids travel as strings) | whole ones without `.0`; NaN and infinities `null`, `-0` `0`, as `JSON.stringify` writes them |
//!
//! A table made by a script is an array if its keys are exactly 1..n with n > 0; any other is an object, its numeric
//! keys written as strings (a list with holes too). An empty one is `{}`. `json.array(t)` marks a table as what an array
//! becomes: it is written as one when it is empty or has holes, and as an object only once it has other keys as well.
//! `json.null` as a field is written as `null`.
//!
//! Functions, coroutines, userdata, buffers, vectors and keys that are neither strings nor numbers are errors that name
//! the place; metamethods are never called. Text that is not UTF-8 is repaired with U+FFFD; characters above U+FFFF go
//! out as pairs of `\u` escapes, because Pomelo's old JavaScript client cannot decode their UTF-8.

mod read;
mod surrogates;
mod write;

pub use read::ReadError;
pub use write::{Place, WriteError};

use crate::budget::Budget;
use mlua::{Lua, MultiValue, Table, Value};

/// How deep JSON may nest, read or written.
pub const MAX_DEPTH: usize = 100;

/// Converts for one VM. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Json {
    /// The metatable of arrays. It has no content; that it is there is the mark.
    array: Table,
    budget: Budget,
    limit: usize,
}

impl Json {
    /// The converter of a VM, which has to be the only one: arrays know each other by its metatable. Text of more
    /// than `limit` bytes is neither read nor written.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new(lua: &Lua, budget: Budget, limit: usize) -> mlua::Result<Self> {
        let array = lua.create_table()?;
        array.set_readonly(true);
        Ok(Self { array, budget, limit })
    }

    /// What the text says, as a Lua value.
    ///
    /// # Errors
    /// Text that is not JSON, is too long or nests too deep, leaves the VM above its memory limit, or takes longer than
    /// the current call has time left.
    pub fn read(&self, lua: &Lua, text: &[u8]) -> Result<Value, ReadError> {
        read::value(lua, self, text)
    }

    /// The elements of an array, or the one value that is no array: the arguments of a remote call, or of a handler
    /// (an array body is spread over its parameters). `null` among them is `nil`: an argument that was not given.
    ///
    /// # Errors
    /// As [`Json::read`].
    pub fn read_list(&self, lua: &Lua, text: &[u8]) -> Result<MultiValue, ReadError> {
        read::list(lua, self, text)
    }

    /// Appends the JSON of a value.
    ///
    /// # Errors
    /// A value that has no JSON, nests too deep (a cycle does), makes `out` too long, or takes longer than the
    /// current call has time left. `out` then ends somewhere in the middle.
    pub fn write(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), WriteError> {
        write::value(self, value, out)
    }

    /// Appends a JSON array of values; `nil` among them is `null`.
    ///
    /// # Errors
    /// As [`Json::write`].
    pub fn write_list<'a>(
        &self,
        values: impl IntoIterator<Item = &'a Value>,
        out: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        write::list(self, values, out)
    }

    /// Makes a table an array even when it is empty.
    ///
    /// # Errors
    /// A table that cannot be changed.
    pub fn mark_array(&self, table: &Table) -> mlua::Result<()> {
        table.set_metatable(Some(self.array.clone()))
    }
}

#[cfg(test)]
mod tests;
