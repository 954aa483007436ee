//! Who is left out of a push. A leaf.

use crate::{envelope::Uid, map::Set};

/// Uids to be looked up, once for each recipient.
#[derive(Debug)]
pub(super) enum Excluded<'a> {
    /// Nearly always it is the one who said it.
    Few(&'a [Uid]),
    /// A script may name as many as it has recipients.
    Many(Set<&'a Uid>),
}

impl<'a> Excluded<'a> {
    /// More are found by their hash.
    const FEW: usize = 8;

    pub(super) fn new(uids: &'a [Uid]) -> Self {
        if uids.len() <= Self::FEW {
            Self::Few(uids)
        } else {
            Self::Many(uids.iter().collect())
        }
    }

    pub(super) fn contains(&self, uid: &Uid) -> bool {
        match self {
            Self::Few(uids) => uids.contains(uid),
            Self::Many(uids) => uids.contains(uid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_or_many() {
        for count in [0, 1, 8, 9, 100] {
            let uids: Vec<Uid> = (0..count).map(|number| number.to_string().into()).collect();
            let excluded = Excluded::new(&uids);
            assert!(uids.iter().all(|uid| excluded.contains(uid)));
            assert!(!excluded.contains(&"nobody".into()));
        }
    }
}
