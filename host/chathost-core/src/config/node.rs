//! JSON that knows where it stands: a value, its file and its line.
//!
//! serde_json hands out each value as the piece of text it is; where the piece begins in the file gives the line.

use super::ConfigErrors;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
};

/// What is wrong, and what is only odd, so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    wrong: Vec<String>,
    odd: Vec<String>,
}

impl Problems {
    pub(super) fn add(&mut self, problem: String) {
        // Where several readers look at one place, it is said once.
        if !self.wrong.contains(&problem) {
            self.wrong.push(problem);
        }
    }

    /// `file:line: key: cause; remedy`.
    pub(super) fn at(&mut self, node: Node<'_>, key: &str, cause: &str) {
        self.add(said(node.file, node.line(), key, cause));
    }

    /// The same, and the configuration is still good.
    pub(super) fn warn(&mut self, node: Node<'_>, key: &str, cause: &str) {
        self.odd.push(said(node.file, node.line(), key, cause));
    }

    /// How much is wrong.
    pub(super) fn count(&self) -> usize {
        self.wrong.len()
    }

    /// The warnings, if nothing is wrong.
    pub(super) fn warnings(self) -> Result<Vec<String>, ConfigErrors> {
        if self.wrong.is_empty() {
            Ok(self.odd)
        } else {
            Err(ConfigErrors(self.wrong))
        }
    }
}

fn said(file: &File, line: usize, key: &str, cause: &str) -> String {
    let colon = if key.is_empty() { "" } else { ": " };
    format!("{}:{line}: {key}{colon}{cause}", file.path.display())
}

/// A file's text.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    text: String,
}

impl File {
    /// Reads a file, if it is there.
    pub(super) fn read(path: &Path, problems: &mut Problems) -> Option<Self> {
        match std::fs::read_to_string(path) {
            // Editors on Windows begin a file with a byte order mark.
            Ok(text) => Some(Self {
                path: path.into(),
                text: text.trim_start_matches('\u{feff}').to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let remedy = match error.kind() {
                    io::ErrorKind::InvalidData => "; save it as UTF-8",
                    _ => "",
                };
                problems.add(format!("{}: cannot be read: {error}{remedy}", path.display()));
                None
            }
        }
    }

    /// The file's value.
    pub(super) fn parse(&self, problems: &mut Problems) -> Option<Node<'_>> {
        // As values first: raw ones are not looked into, so what no value can be made of would be found too late.
        let parsed = serde_json::from_str::<Value>(&self.text);
        match parsed.and_then(|_| serde_json::from_str::<&RawValue>(&self.text)) {
            Ok(raw) => Some(Node { file: self, raw }),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let cause = error.to_string();
                let cause = cause.split(" at line ").next().unwrap_or_default();
                problems.add(format!(
                    "{}:{line}:{column}: not JSON: {cause}",
                    self.path.display()
                ));
                None
            }
        }
    }
}

/// A value in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    file: &'a File,
    raw: &'a RawValue,
}

impl<'a> Node<'a> {
    /// Its text.
    pub(super) fn text(self) -> &'a str {
        self.raw.get()
    }

    /// The line on which it begins, from 1.
    pub(super) fn line(self) -> usize {
        let offset = (self.raw.get().as_ptr() as usize).saturating_sub(self.file.text.as_ptr() as usize);
        1 + line_breaks(self.file.text.as_bytes().get(..offset).unwrap_or_default())
    }

    /// Says that something in it is wrong, at the line of these words if they are in it.
    pub(super) fn wrong_within(self, words: &str, cause: &str, problems: &mut Problems) {
        let before = self.text().split(words).next().unwrap_or_default();
        let down = if before.len() < self.text().len() {
            line_breaks(before.as_bytes())
        } else {
            0
        };
        problems.add(said(self.file, self.line() + down, "", cause));
    }

    /// Its entries if it is an object, in the order of the text. `path`: its name, for keys that stand in it twice.
    pub(super) fn entries(self, path: &str, problems: &mut Problems) -> Option<Vec<(String, Self)>> {
        let entries: Entries<'a> = self.value()?;
        let mut seen = HashMap::new();
        let mut unique = Vec::new();
        for (key, raw) in entries.0 {
            let node = Self { file: self.file, raw };
            if let Some(first) = seen.insert(key.clone(), node) {
                let cause = format!("stands here twice, first on line {}; remove one", first.line());
                problems.at(node, &join(path, &key), &cause);
            } else {
                unique.push((key, node));
            }
        }
        Some(unique)
    }

    /// Whether it is an object.
    pub(super) fn is_object(self) -> bool {
        self.text().starts_with('{')
    }

    /// Its elements if it is an array.
    pub(super) fn array(self) -> Option<Vec<Self>> {
        let elements: Vec<&'a RawValue> = self.value()?;
        Some(
            elements
                .into_iter()
                .map(|raw| Self { file: self.file, raw })
                .collect(),
        )
    }

    /// It as a value of a type, if it is one.
    pub(super) fn value<T: Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.raw.get()).ok()
    }
}

/// A key's full name.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn line_breaks(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte == b'\n').count()
}

struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
