//! Which files a generation was made from, and the hash that tells it from another. A leaf.

use std::{collections::BTreeMap, fmt};

/// The files that were loaded, with a hash of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    files: BTreeMap<String, u64>,
}

impl Sources {
    /// Every file, by its path below `handlers/`, with a hash of its content.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|(path, &hash)| (path.as_str(), hash))
    }

    /// Tells these files with this content from others. It says nothing about whom to trust.
    pub fn hash(&self) -> u64 {
        self.files.iter().fold(FNV_OFFSET, |hash, (path, content)| {
            // A byte that no path has ends it.
            fnv1a(fnv1a(fnv1a(hash, path.as_bytes()), &[0]), &content.to_le_bytes())
        })
    }

    pub(super) fn add(&mut self, path: &str, hash: u64) {
        self.files.insert(path.to_owned(), hash);
    }
}

/// The hash's first half, for people.
impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.hash() >> 32)
    }
}

/// The hash of a file's content.
pub(super) fn hash(text: &[u8]) -> u64 {
    fnv1a(FNV_OFFSET, text)
}

/// FNV-1a: the same on every machine and in every release, unlike the standard library's hashers.
const FNV_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;

fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
