//! The rules of the house (ARCHITECTURE.md) that a compiler does not know: who may know whom, what every file begins
//! with, how long it may be, and that nothing of the machine it was written on is in it.

use chathost_tests::root;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A longer file is two files.
const LINES: usize = 600;

/// The own crates that each crate may depend on, and what it must not depend on at all.
const CRATES: [(&str, &[&str], &[&str]); 6] = [
    (
        "host/pomelo-protocol",
        &[],
        &[
            "tokio",
            "tokio-tungstenite",
            "futures-util",
            "socket2",
            "mlua",
            "libloading",
        ],
    ),
    (
        "host/chathost-core",
        &["pomelo-protocol"],
        &["mlua", "libloading"],
    ),
    (
        "host/chathost-lua",
        &["chathost-core", "pomelo-protocol"],
        &["libloading", "tokio-tungstenite"],
    ),
    (
        "host/chathost-native",
        &["chathost-abi", "chathost-core", "pomelo-protocol"],
        &["mlua", "tokio-tungstenite"],
    ),
    ("plugins/chathost-abi", &[], &["tokio", "mlua", "libloading"]),
    (
        "plugins/chathost-plugin",
        &["chathost-abi"],
        &["tokio", "mlua", "libloading"],
    ),
];

/// Who knows the types that cross the border to a native library.
const KNOW_THE_ABI: [&str; 2] = ["chathost-native", "chathost-plugin"];

/// Modules of `chathost-core` and the modules that they must not know, because those stand above them.
const ABOVE: [(&str, &[&str]); 8] = [
    ("session", &["channel", "dispatch", "remote", "server", "host"]),
    (
        "handler",
        &[
            "channel",
            "connector",
            "dispatch",
            "remote",
            "rpc",
            "server",
            "host",
        ],
    ),
    ("rpc", &["channel", "connector", "remote", "server", "host"]),
    ("connector", &["channel", "remote", "rpc", "server", "host"]),
    ("channel", &["dispatch", "handler", "remote", "server", "host"]),
    ("dispatch", &["channel", "remote", "server", "host"]),
    ("remote", &["connector", "server", "host"]),
    ("server", &["host"]),
];

/// Modules of `chathost-core` that know no other.
const LEAVES: [&str; 4] = ["config", "error", "hash", "route"];

#[test]
fn arrows_between_crates() {
    let mut crates = Vec::new();
    for folder in ["host", "plugins", ".", "host/chathost/.."] {
        crates.extend(
            folders(&root().join(folder))
                .into_iter()
                .filter(|at| at.join("Cargo.toml").is_file()),
        );
    }
    let own: BTreeSet<String> = crates.iter().map(|at| name(at)).collect();
    assert!(
        own.contains("chathost-core") && own.contains("chathost-web"),
        "{own:?}"
    );
    for (path, may, must_not) in CRATES {
        let at = root().join(path);
        if !at.exists() {
            continue;
        }
        for dependency in dependencies(&at) {
            assert!(
                !must_not.contains(&dependency.as_str()),
                "{path} depends on {dependency}"
            );
            assert!(
                !own.contains(&dependency) || may.contains(&dependency.as_str()),
                "{path} depends on {dependency}, which is not below it"
            );
        }
    }
    for at in crates {
        if dependencies(&at).contains("chathost-abi") {
            assert!(
                KNOW_THE_ABI.contains(&name(&at).as_str()),
                "{} knows the ABI",
                name(&at)
            );
        }
    }
}

#[test]
fn arrows_between_modules() {
    let uses = module_uses(&root().join("host/chathost-core/src"));
    assert!(uses["dispatch"].contains("handler") && uses["connector"].contains("dispatch"));
    for leaf in LEAVES {
        assert!(
            uses[leaf].is_empty(),
            "{leaf} is a leaf, and uses {:?}",
            uses[leaf]
        );
    }
    for (module, above) in ABOVE {
        for other in above {
            assert!(
                !uses[module].contains(*other),
                "{module} uses {other}, which stands above it"
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    let mut wrong = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//! ") {
            wrong.push(format!("{} does not begin with `//! `", shown(&path)));
        }
        let lines = text.lines().count();
        if lines > LINES {
            wrong.push(format!("{} has {lines} lines", shown(&path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_paths_of_a_machine() {
    // In pieces, or they would be found here.
    let forbidden = [
        concat!("/", "work/"),
        concat!("/", "root/"),
        concat!("/", "home/"),
    ];
    let mut wrong = Vec::new();
    for path in files(&root()) {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            if forbidden.iter().any(|path| line.contains(path)) {
                wrong.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The Rust files that are ours.
fn sources() -> Vec<PathBuf> {
    let mut sources = Vec::new();
    for folder in ["host", "plugins", "web-server", "tests"] {
        sources.extend(files(&root().join(folder)));
    }
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(sources.len() > 100);
    sources
}

/// All files below a folder, without what is built, fetched, logged or hidden.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let generated = ["target", "node_modules", "logs", "corpus", "artifacts"].contains(&name.as_str());
        if generated || name.starts_with('.') || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_dir()).collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// A crate's name, as its manifest says it.
fn name(crate_folder: &Path) -> String {
    let manifest = fs::read_to_string(crate_folder.join("Cargo.toml")).unwrap();
    let line = manifest.lines().find_map(|line| line.strip_prefix("name = \""));
    line.unwrap_or_default().trim_end_matches('"').to_owned()
}

/// What a crate depends on when it is used, by name.
fn dependencies(crate_folder: &Path) -> BTreeSet<String> {
    let manifest = fs::read_to_string(crate_folder.join("Cargo.toml")).unwrap();
    let mut section = String::new();
    let mut names = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(title) = line.strip_prefix('[') {
            section = title.trim_end_matches(']').to_owned();
        } else if section.ends_with("dependencies") && !section.ends_with("dev-dependencies") {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if !name.is_empty() && !name.starts_with('#') {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// For each top-level module the others that it names, tests not counted.
fn module_uses(src: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files(src) {
        let relative = path.strip_prefix(src).unwrap();
        let first = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let is_test = relative
            .components()
            .any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let named = if is_test {
            BTreeSet::new()
        } else {
            named_modules(code)
        };
        let known = uses.entry(module.clone()).or_default();
        known.extend(named.into_iter().filter(|other| *other != module));
    }
    uses
}

/// The modules in `crate::a::…` and `crate::{a::…, b::…}`.
fn named_modules(code: &str) -> BTreeSet<String> {
    let code: String = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(identifier(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for character in list.chars() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    names.insert(identifier(&item));
                    item.clear();
                    continue;
                }
                _ => {}
            }
            item.push(character);
        }
        names.insert(identifier(&item));
    }
    names.remove("");
    names
}

fn identifier(text: &str) -> String {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_');
    text[..end.unwrap_or(text.len())].to_owned()
}
