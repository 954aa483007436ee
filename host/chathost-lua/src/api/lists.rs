//! What `channel:getMembers()` returns.
//!
//! Whoever joins a room is told who is in it. A script that asks at each join would have every name made anew each time;
//! of the large channels that were asked last there is a list here, and the script gets a copy of it, with what has
//! changed since.

use super::{Class, Context};
use chathost_core::channel::Channel;
use mlua::{Function, Lua, Table};
use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::{Rc, Weak},
};

/// The lists of one VM.
pub(super) struct Lists {
    /// The one that was asked for last is the first.
    last: RefCell<VecDeque<List>>,
    /// Luau's `table.clone`.
    clone: Function,
}

struct List {
    channel: Weak<Channel>,
    changes: (u64, u64),
    uids: Table,
}

impl Lists {
    /// A smaller channel's list is made as fast.
    const SMALLEST: usize = 64;
    /// They take the VM's memory.
    const MOST: usize = 4;

    pub(super) fn new(class: &Class<'_>) -> mlua::Result<Self> {
        let library: Table = class.lua().globals().get("table")?;
        Ok(Self {
            last: RefCell::default(),
            clone: library.get("clone")?,
        })
    }

    /// The uids in a channel, in a table that nobody else has.
    pub(super) fn of(&self, context: &Context, lua: &Lua, channel: &Rc<Channel>) -> mlua::Result<Table> {
        if channel.user_amount() < Self::SMALLEST {
            return made(context, lua, channel);
        }
        let (joined, left) = channel.changes();
        let uids = match self.take(channel).filter(|list| list.changes.1 == left) {
            Some(list) => {
                for uid in channel.members_after(list.changes.0) {
                    list.uids.raw_push(&*uid)?;
                }
                list.uids
            }
            None => made(context, lua, channel)?,
        };
        let copy = self.clone.call(&uids)?;
        let mut last = self.last.borrow_mut();
        last.truncate(Self::MOST - 1);
        last.push_front(List {
            channel: Rc::downgrade(channel),
            changes: (joined, left),
            uids,
        });
        Ok(copy)
    }

    fn take(&self, channel: &Rc<Channel>) -> Option<List> {
        let mut last = self.last.borrow_mut();
        let place = last
            .iter()
            .position(|list| list.channel.as_ptr() == Rc::as_ptr(channel))?;
        last.remove(place)
    }
}

fn made(context: &Context, lua: &Lua, channel: &Channel) -> mlua::Result<Table> {
    let uids = lua.create_sequence_from(channel.members().iter().map(|uid| &**uid))?;
    context.json()?.mark_array(&uids)?;
    Ok(uids)
}
