//! Channels as scripts hold them: one userdata for each, for as long as the channel lives.
//!
//! Nearly every handler begins with `getChannel`, and making a userdata for each (and collecting it again) would cost it
//! 1,400 instructions. It also makes `a == b` mean what it says.

use chathost_core::channel::Channel;
use mlua::{AnyUserData, Lua};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

/// A channel in a script's hands.
#[derive(Debug)]
pub(super) struct ChannelHandle(pub(super) Rc<Channel>);

/// The handles of one VM.
#[derive(Debug)]
pub(super) struct Handles {
    /// By their channels' addresses, which stay theirs: a handle holds its channel.
    made: RefCell<HashMap<*const Channel, AnyUserData>>,
    /// At how many those of ended channels are dropped.
    sweep_at: Cell<usize>,
}

impl Handles {
    const FEW: usize = 64;

    pub(super) fn new() -> Self {
        Self {
            made: RefCell::default(),
            sweep_at: Cell::new(Self::FEW),
        }
    }

    /// The channel's handle.
    pub(super) fn of(&self, lua: &Lua, channel: Rc<Channel>) -> mlua::Result<AnyUserData> {
        let mut made = self.made.borrow_mut();
        if let Some(handle) = made.get(&Rc::as_ptr(&channel)) {
            return Ok(handle.clone());
        }
        if made.len() >= self.sweep_at.get() {
            made.retain(|_, handle| is_used(handle));
            self.sweep_at.set(Self::FEW + 2 * made.len());
        }
        let key = Rc::as_ptr(&channel);
        let handle = lua.create_userdata(ChannelHandle(channel))?;
        made.insert(key, handle.clone());
        Ok(handle)
    }
}

/// Whether anybody but the handle has the channel.
fn is_used(handle: &AnyUserData) -> bool {
    handle
        .borrow::<ChannelHandle>()
        .is_ok_and(|handle| Rc::strong_count(&handle.0) > 1)
}
