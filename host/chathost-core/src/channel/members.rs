//! One channel: who is in it, and what scripts keep in it.
//!
//! A set of (uid, frontend) pairs in the order of joining. It is freed with its last member; `destroy` frees it before.

use crate::{
    envelope::{ServerId, Uid},
    error::CallError,
    kept::{Allowance, Kept},
    map::Map,
    session::Settings,
};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, hash_map::Entry},
    ops::Bound,
    rc::Rc,
    sync::Arc,
};

/// A user in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// Whom the session is bound to.
    pub uid: Uid,
    /// The frontend the session lives on.
    pub sid: ServerId,
}

/// Who is to get a push, frontend by frontend.
pub(crate) type Groups = Rc<Vec<(ServerId, Arc<[Uid]>)>>;

/// A named set of members. Handles are `Rc`s.
#[derive(Debug)]
pub struct Channel {
    name: Box<str>,
    members: RefCell<Members>,
    values: RefCell<Settings>,
    destroyed: Cell<bool>,
    /// Itself and its members. The values have their own.
    kept: Kept,
    _alive: Rc<()>,
}

#[derive(Debug, Default)]
struct Members {
    joined: u64,
    left: u64,
    /// By the order of joining.
    in_order: BTreeMap<u64, Member>,
    /// A uid may be on several frontends.
    by_uid: Map<Uid, Vec<(ServerId, u64)>>,
    /// What a push is sent by, until somebody joins or leaves.
    groups: Option<Groups>,
}

/// What a channel takes, with the room that its tree and its map make for the first members.
pub(super) const CHANNEL: usize = 1024;

/// What a member takes: in the tree, the map, the lists of a push, and the uid's own block.
const MEMBER: usize = 256;

fn bytes(uid: &str, sid: &str) -> usize {
    MEMBER + uid.len() + sid.len()
}

impl Channel {
    pub(crate) fn new(name: &str, allowance: &Arc<Allowance>, alive: &Rc<()>) -> Result<Rc<Self>, CallError> {
        // It is found by a name of its own.
        let kept = allowance.keep(CHANNEL + 2 * name.len())?;
        Ok(Rc::new(Self {
            name: name.into(),
            members: RefCell::default(),
            values: RefCell::default(),
            destroyed: Cell::new(false),
            kept,
            _alive: alive.clone(),
        }))
    }

    /// The name it is found by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a member; once in, again in changes nothing. False after `destroy`; an error where handlers keep too much.
    pub(crate) fn insert(&self, uid: Uid, sid: ServerId) -> Result<bool, CallError> {
        if self.destroyed.get() {
            return Ok(false);
        }
        let mut members = self.members.borrow_mut();
        let Members {
            joined,
            in_order,
            by_uid,
            groups,
            ..
        } = &mut *members;
        let places = by_uid.entry(uid.clone());
        if let Entry::Occupied(places) = &places
            && places.get().iter().any(|(at, _)| *at == sid)
        {
            return Ok(true);
        }
        self.kept.add(bytes(&uid, &sid))?;
        // Nearly always there is one place; a list would make room for four.
        let places = places.or_insert_with(|| Vec::with_capacity(1));
        *joined += 1;
        places.push((sid.clone(), *joined));
        in_order.insert(*joined, Member { uid, sid });
        *groups = None;
        Ok(true)
    }

    /// Takes a member out; false if it was not in.
    pub(crate) fn take_out(&self, uid: &str, sid: &str) -> bool {
        let mut members = self.members.borrow_mut();
        let Some(places) = members.by_uid.get_mut(uid) else {
            return false;
        };
        let Some(place) = places.iter().position(|(at, _)| **at == *sid) else {
            return false;
        };
        let (_, joined) = places.remove(place);
        if places.is_empty() {
            members.by_uid.remove(uid);
        }
        members.in_order.remove(&joined);
        members.left += 1;
        members.groups = None;
        self.kept.give_back(bytes(uid, sid));
        true
    }

    /// The uids in it, in the order of joining.
    pub fn members(&self) -> Vec<Uid> {
        self.members_after(0)
    }

    /// Those of them that joined after so many others ever had ([`Channel::changes`]).
    pub fn members_after(&self, joined: u64) -> Vec<Uid> {
        let members = self.members.borrow();
        let first = |(joined, member): (&u64, &Member)| {
            let places = members.by_uid.get(&member.uid)?;
            (places.first()?.1 == *joined).then(|| member.uid.clone())
        };
        let after = (Bound::Excluded(joined), Bound::Unbounded);
        members.in_order.range(after).filter_map(first).collect()
    }

    /// How often somebody joined and how often somebody left. Who has a list of the members can tell what it lacks.
    pub fn changes(&self) -> (u64, u64) {
        let members = self.members.borrow();
        (members.joined, members.left)
    }

    /// The member with this uid.
    pub fn member(&self, uid: &str) -> Option<Member> {
        let members = self.members.borrow();
        let (uid, places) = members.by_uid.get_key_value(uid)?;
        Some(Member {
            uid: uid.clone(),
            sid: places.first()?.0.clone(),
        })
    }

    /// The number of uids in it.
    pub fn user_amount(&self) -> usize {
        self.members.borrow().by_uid.len()
    }

    /// Keeps a JSON value in the channel; null forgets it. Gone with the channel.
    ///
    /// # Errors
    /// The server's handlers keep too much.
    pub fn set(&self, key: &str, value: Value) -> Result<(), CallError> {
        let value = (!value.is_null()).then_some(value);
        self.values.borrow_mut().write(self.kept.allowance(), key, value)
    }

    /// What is kept under a key.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.values.borrow().get(key).cloned()
    }

    /// Whether `destroy` was called.
    pub fn is_destroyed(&self) -> bool {
        self.destroyed.get()
    }

    pub(crate) fn mark_destroyed(&self) {
        self.destroyed.set(true);
        let gone = self.members.take();
        for Member { uid, sid } in gone.in_order.values() {
            self.kept.give_back(bytes(uid, sid));
        }
        let mut members = self.members.borrow_mut();
        (members.joined, members.left) = (gone.joined, gone.left + 1);
        drop(members);
        self.values.take();
    }

    pub(crate) fn groups(&self) -> Groups {
        let mut members = self.members.borrow_mut();
        if let Some(groups) = &members.groups {
            return groups.clone();
        }
        let groups = group(members.in_order.values().cloned());
        members.groups = Some(groups.clone());
        groups
    }
}

/// Members by frontend, in the order in which each was first named.
pub(crate) fn group(members: impl Iterator<Item = Member>) -> Groups {
    /// More are found by their hash.
    const FEW: usize = 8;
    let mut groups: Vec<(ServerId, Vec<Uid>)> = Vec::new();
    let mut places: Map<ServerId, usize> = Map::default();
    for Member { uid, sid } in members {
        // Frontends are few, and an id is nearly always the very allocation that the list has.
        let mut few = groups.iter().take(FEW);
        let place = few
            .position(|(at, _)| Arc::ptr_eq(at, &sid) || *at == sid)
            .or_else(|| places.get(&sid).copied());
        match place {
            Some(place) => groups[place].1.push(uid),
            None => {
                if groups.len() >= FEW {
                    places.insert(sid.clone(), groups.len());
                }
                groups.push((sid, vec![uid]));
            }
        }
    }
    Rc::new(groups.into_iter().map(|(sid, uids)| (sid, uids.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_in_the_order_of_joining() {
        let allowance = Allowance::new(1);
        let channel = Channel::new("room", &allowance, &Rc::default()).unwrap();
        for (uid, sid) in [
            ("bob", "c2"),
            ("alice", "c1"),
            ("bob", "c2"),
            ("bob", "c1"),
            ("carol", "c2"),
        ] {
            assert!(channel.insert(uid.into(), sid.into()).unwrap());
        }
        assert_eq!(channel.members(), ["bob", "alice", "carol"].map(Uid::from));
        assert_eq!(channel.user_amount(), 3);
        assert_eq!(channel.member("bob").unwrap().sid.as_ref(), "c2");
        assert_eq!(channel.changes(), (4, 0));
        assert_eq!(channel.members_after(1), ["alice", "carol"].map(Uid::from));
        let groups = channel.groups();
        assert_eq!(groups.len(), 2);
        assert_eq!(*groups[0].1, ["bob", "carol"].map(Uid::from));
        assert_eq!(*groups[1].1, ["alice", "bob"].map(Uid::from));

        assert!(channel.take_out("bob", "c2"));
        assert!(!channel.take_out("bob", "c2"));
        assert_eq!(channel.member("bob").unwrap().sid.as_ref(), "c1");
        assert_eq!(channel.members(), ["alice", "bob", "carol"].map(Uid::from));
        assert!(!channel.take_out("nobody", "c1"));
        assert_eq!(channel.changes(), (4, 1));

        channel.set("topic", "tea".into()).unwrap();
        assert_eq!(channel.get("topic"), Some("tea".into()));
        channel.set("topic", Value::Null).unwrap();
        assert_eq!(channel.get("topic"), None);

        channel.mark_destroyed();
        assert!(!channel.insert("dave".into(), "c1".into()).unwrap());
        assert_eq!(channel.user_amount(), 0);
        drop(channel);
        assert_eq!(allowance.used(), 0);
    }

    #[test]
    fn gives_back_what_it_took() {
        let allowance = Allowance::new(1);
        let channel = Channel::new("room", &allowance, &Rc::default()).unwrap();
        let empty = allowance.used();
        let mut levels = Vec::new();
        for _ in 0..3 {
            let uids = (0..).map(|number| Uid::from(format!("user{number}")));
            let full = uids
                .take_while(|uid| channel.insert(uid.clone(), "c1".into()).is_ok())
                .count();
            assert!((1000..6000).contains(&full), "{full}");
            assert_eq!(
                (channel.user_amount(), channel.changes().0 as usize % full),
                (full, 0)
            );
            // What is in already is no more.
            assert!(channel.insert("user0".into(), "c1".into()).unwrap());
            let topic = "x".repeat(1000);
            assert!(channel.set("topic", topic.clone().into()).is_err());
            for number in 0..full {
                if number == 10 {
                    channel.set("topic", topic.clone().into()).unwrap();
                }
                assert!(channel.take_out(&format!("user{number}"), "c1"));
            }
            channel.set("topic", Value::Null).unwrap();
            assert_eq!(allowance.used(), empty);
            levels.push(full);
        }
        assert_eq!(levels, [levels[0]; 3]);
        for _ in 0..3 {
            channel.insert("bob".into(), "c1".into()).unwrap();
            channel.insert("bob".into(), "c2".into()).unwrap();
            channel.set("topic", "tea".into()).unwrap();
            assert!(allowance.used() > empty);
            channel.mark_destroyed();
            assert_eq!(allowance.used(), empty);
            channel.destroyed.set(false);
        }
    }
}
