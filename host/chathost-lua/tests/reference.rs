//! `handlers/meta/chathost.d.luau` declares exactly what is registered, class by class.
//!
//! Names only: that the types and the sentences are true is for people to see. The fields of userdata, which are not
//! registered by name, are listed here.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use chathost_core::{
    app::App,
    config::{self, LoadOptions},
    post::Loopback,
};
use chathost_lua::registered;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

const REFERENCE: &str = include_str!("../../../handlers/meta/chathost.d.luau");

/// Class and name of what is there without being registered.
const UNREGISTERED: [(&str, &str); 4] = [
    ("Session", "id"),
    ("Session", "frontendId"),
    ("Session", "uid"),
    ("Channel", "name"),
];

type Classes = BTreeMap<String, BTreeSet<String>>;

/// The names that the reference declares. It is written so that a line says one thing.
fn declared() -> Classes {
    let mut classes = Classes::new();
    let mut class = None;
    for line in REFERENCE.lines() {
        if let Some(name) = line
            .strip_prefix("declare extern type ")
            .and_then(|rest| rest.strip_suffix(" with"))
        {
            class = Some(classes.entry(name.to_owned()).or_default());
        } else if line == "end" {
            class = None;
        } else if let (Some(class), Some(member)) = (&mut class, line.strip_prefix('\t')) {
            let member = member.strip_prefix("function ").unwrap_or(member);
            let end = member
                .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                .unwrap_or(member.len());
            // What is left are comments, the parameters of a long function, and its closing parenthesis.
            let (name, rest) = member.split_at(end);
            if !name.is_empty() && rest.starts_with([':', '(', '<']) {
                class.insert(name.to_owned());
            }
        }
    }
    classes
}

fn demo() -> Arc<config::Cluster> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let options = LoadOptions {
        servers_file: base.join("config/servers.json"),
        base: PathBuf::new(),
        env: "development".to_owned(),
    };
    Arc::new(config::load(&options).unwrap())
}

fn seen(server_type: &str) -> Classes {
    let cluster = demo();
    let info = cluster.servers_of(server_type).next().unwrap().clone();
    let app = App::new(info, cluster, Arc::new(Loopback::default()), Arc::default());
    let mut classes: Classes = registered(app)
        .unwrap()
        .into_iter()
        .map(|(class, names)| (class, names.into_iter().collect()))
        .collect();
    for (class, name) in UNREGISTERED {
        classes
            .entry(class.to_owned())
            .or_default()
            .insert(name.to_owned());
    }
    classes
}

#[test]
fn the_reference_is_what_scripts_see() {
    let declared = declared();
    for server_type in ["connector", "chat"] {
        let seen = seen(server_type);
        for class in declared.keys().chain(seen.keys()) {
            let (declared, seen) = (&declared.get(class), &seen.get(class));
            let names = |classes: &Option<&BTreeSet<String>>| classes.cloned().unwrap_or_default();
            let (declared, seen) = (names(declared), names(seen));
            let missing: Vec<_> = seen.difference(&declared).collect();
            let invented: Vec<_> = declared.difference(&seen).collect();
            assert!(
                missing.is_empty() && invented.is_empty(),
                "class {class} on a {server_type}: not in chathost.d.luau {missing:?}, only there {invented:?}"
            );
        }
    }
}

#[test]
fn everything_in_the_reference_has_a_sentence() {
    let lines: Vec<_> = REFERENCE.lines().collect();
    for (number, pair) in lines.windows(2).enumerate() {
        let [before, line] = [pair[0].trim(), pair[1].trim()];
        let declares = line.starts_with("declare ") && line.ends_with(" with")
            || line.starts_with("export type ")
            || line.starts_with("function ");
        let overloads = line
            .split_once('(')
            .is_some_and(|(name, _)| before.starts_with(name));
        assert!(
            !declares || before.starts_with("-- ") || overloads,
            "line {} of chathost.d.luau says nothing about `{line}`",
            number + 2
        );
    }
}
