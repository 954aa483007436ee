//! `handlers.json`: which libraries serve a type, or groups of it. What is not named there is served by scripts.
//!
//! `{ "chat": "plugins/libchat.so" }`, or for some groups only, which then go before the scripts' groups of that name:
//! `{ "chat": { "groups": { "chatHandler": "plugins/libchat.so" } } }`. Paths are relative to the base directory.

use super::{
    node::{Node, Problems},
    section,
};
use std::{collections::BTreeMap, path::PathBuf};

/// What serves a type besides scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Libraries {
    /// One library, and no scripts but `app.lua`.
    All(PathBuf),
    /// A library for each of these groups; scripts for the rest.
    Groups(BTreeMap<String, PathBuf>),
}

/// By server type.
pub type LibrariesByType = BTreeMap<String, Libraries>;

/// Reads an environment. `types`: those of `servers.json`.
pub(super) fn read(node: Node<'_>, types: &[&str], problems: &mut Problems) -> LibrariesByType {
    let mut libraries = LibrariesByType::new();
    section::read(node, "", problems, |section| {
        for (name, node) in section.rest() {
            if !types.contains(&name.as_str()) {
                section.unknown(&name, node, types);
                continue;
            }
            if let Some(path) = node.value::<PathBuf>() {
                libraries.insert(name, Libraries::All(path));
                continue;
            }
            let mut groups = BTreeMap::new();
            section::read(node, &name, section.problems, |section| {
                section.group("groups", |section| {
                    for (group, node) in section.rest() {
                        match node.value::<PathBuf>() {
                            Some(path) => drop(groups.insert(group, path)),
                            None => section.problems.at(
                                node,
                                &group,
                                "has to be the path of a library, \"plugins/….so\"",
                            ),
                        }
                    }
                });
            });
            libraries.insert(name, Libraries::Groups(groups));
        }
    });
    libraries
}
