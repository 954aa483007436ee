//! The connections of groups that are pushed to again and again.
//!
//! A channel sends the same list of uids, the very same allocation, until somebody joins or leaves. Finding the session
//! of each uid anew takes a seventh of a delivery in backlog (a hash, a comparison and two cache misses a member), so what
//! was found is kept until a uid is bound or unbound here.

use crate::{
    connector::{Connection, Group},
    envelope::Uid,
    map::Map,
};
use std::{cell::RefCell, rc::Rc, sync::Arc};

/// Smaller groups are found faster than looked up here.
const SMALLEST: usize = 4;

/// Connections of groups that are kept. More, and all are forgotten.
const MOST: usize = 65_536;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Audiences(RefCell<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By where the list is. Kept lists are alive, so one address is one list.
    groups: Map<usize, (Arc<[Uid]>, Rc<Group>)>,
    connections: usize,
}

impl Audiences {
    /// The connections of a group, if each of its uids has exactly one; `find` looks for it.
    pub(super) fn of(
        &self,
        uids: &Arc<[Uid]>,
        find: impl Fn(&Uid) -> Option<Rc<Connection>>,
    ) -> Option<Rc<Group>> {
        if uids.len() < SMALLEST {
            return None;
        }
        let place = Arc::as_ptr(uids).addr();
        if let Some((_, group)) = self.0.borrow().groups.get(&place) {
            return Some(group.clone());
        }
        let group = Rc::new(Group::new(uids.iter().map(find).collect::<Option<_>>()?));
        let mut kept = self.0.borrow_mut();
        if kept.connections + uids.len() > MOST {
            *kept = Kept::default();
        }
        kept.connections += uids.len();
        kept.groups.insert(place, (uids.clone(), group.clone()));
        Some(group)
    }

    /// A uid was bound or unbound.
    pub(super) fn forget(&self) {
        // Connections that end here may not ask for others while they do.
        drop(self.0.take());
    }
}
