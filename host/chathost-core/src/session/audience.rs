//! The sessions of groups that are pushed to again and again.
//!
//! A channel sends the same list of uids, the very same allocation, until somebody joins or leaves. Finding the session
//! of each uid anew takes a seventh of a delivery in backlog (a hash, a comparison and two cache misses a member), so what
//! was found is kept until a uid is bound or unbound here.

use super::Session;
use crate::envelope::Uid;
use std::{cell::RefCell, rc::Rc, sync::Arc};

/// Smaller groups are found faster than looked up here.
const SMALLEST: usize = 32;

/// Groups that are kept. One more, and all are forgotten.
const MOST: usize = 64;

/// The sessions of one group, in its order.
pub(crate) type Sessions = Rc<[Rc<Session>]>;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Audiences(RefCell<Vec<(Arc<[Uid]>, Sessions)>>);

impl Audiences {
    /// The sessions of a group, if each of its uids has exactly one; `find` looks for it.
    pub(super) fn of(
        &self,
        uids: &Arc<[Uid]>,
        find: impl Fn(&Uid) -> Option<Rc<Session>>,
    ) -> Option<Sessions> {
        if uids.len() < SMALLEST {
            return None;
        }
        // Kept lists are alive, so one allocation is one list.
        let known = self
            .0
            .borrow()
            .iter()
            .find(|(list, _)| Arc::ptr_eq(list, uids))
            .map(|(_, sessions)| sessions.clone());
        if known.is_some() {
            return known;
        }
        let sessions: Sessions = uids.iter().map(find).collect::<Option<Vec<_>>>()?.into();
        let mut kept = self.0.borrow_mut();
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.push((uids.clone(), sessions.clone()));
        Some(sessions)
    }

    /// A uid was bound or unbound.
    pub(super) fn forget(&self) {
        // Sessions that end here may not ask for others while they do.
        drop(self.0.take());
    }
}
