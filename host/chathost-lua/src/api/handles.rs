//! Channels as scripts hold them: one userdata for each, for as long as somebody holds it.
//!
//! Nearly every handler begins with `getChannel`, and making a userdata for each (and collecting it again) would cost it
//! 1,000 instructions. It also makes `a == b` mean what it says.

use chathost_core::channel::Channel;
use mlua::{AnyUserData, LightUserData, Lua, Table};
use std::rc::Rc;

/// A channel in a script's hands.
#[derive(Debug)]
pub(super) struct ChannelHandle(pub(super) Rc<Channel>);

/// The handles of one VM.
#[derive(Debug)]
pub(super) struct Handles {
    /// By their channels' addresses, which stay theirs, because a handle holds its channel. The table holds no handle:
    /// what no script has goes with the next collection.
    made: Table,
}

impl Handles {
    pub(super) fn new(lua: &Lua) -> mlua::Result<Self> {
        let made = lua.create_table()?;
        let weak = lua.create_table()?;
        // Its values are weak, and it shrinks when they are gone.
        weak.raw_set("__mode", "vs")?;
        made.set_metatable(Some(weak))?;
        Ok(Self { made })
    }

    /// The channel's handle.
    pub(super) fn of(&self, lua: &Lua, channel: Rc<Channel>) -> mlua::Result<AnyUserData> {
        let key = LightUserData(Rc::as_ptr(&channel).cast_mut().cast());
        if let Some(handle) = self.made.raw_get::<Option<AnyUserData>>(key)? {
            return Ok(handle);
        }
        let handle = lua.create_userdata(ChannelHandle(channel))?;
        self.made.raw_set(key, &handle)?;
        Ok(handle)
    }
}
