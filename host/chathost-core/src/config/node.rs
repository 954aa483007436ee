//! JSON that knows where it stands: a value, its file and its line.
//!
//! serde_json hands out each value as the piece of text it is; where the piece begins in the file gives the line.

use super::ConfigErrors;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// What is wrong, so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn add(&mut self, problem: String) {
        self.0.push(problem);
    }

    /// `file:line: key: cause`.
    pub(super) fn at(&mut self, node: Node<'_>, key: &str, cause: &str) {
        let line_break = if key.is_empty() { "" } else { ": " };
        self.add(format!(
            "{}:{}: {key}{line_break}{cause}",
            node.file.path.display(),
            node.line()
        ));
    }

    pub(super) fn none(self) -> Result<(), ConfigErrors> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors(self.0))
        }
    }
}

/// A file's text.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    text: Option<String>,
}

impl File {
    /// Reads a file; one that is not there has no text.
    pub(super) fn read(path: &Path, problems: &mut Problems) -> Option<Self> {
        match std::fs::read_to_string(path) {
            // Editors on Windows begin a file with a byte order mark.
            Ok(text) => Some(Self {
                path: path.into(),
                text: Some(text.trim_start_matches('\u{feff}').to_owned()),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Self {
                path: path.into(),
                text: None,
            }),
            Err(error) => {
                problems.add(format!("{}: cannot be read: {error}", path.display()));
                None
            }
        }
    }

    pub(super) fn exists(&self) -> bool {
        self.text.is_some()
    }

    /// The file's value.
    pub(super) fn parse(&self, problems: &mut Problems) -> Option<Node<'_>> {
        let text = self.text.as_deref()?;
        match serde_json::from_str::<&RawValue>(text) {
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
        let text = self.file.text.as_deref().unwrap_or_default();
        let offset = (self.raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
    }

    /// Its entries if it is an object, in the order of the text.
    pub(super) fn object(self) -> Option<Vec<(String, Self)>> {
        let entries: Entries<'a> = serde_json::from_str(self.raw.get()).ok()?;
        Some(
            entries
                .0
                .into_iter()
                .map(|(key, raw)| (key, Self { file: self.file, raw }))
                .collect(),
        )
    }

    /// Its elements if it is an array.
    pub(super) fn array(self) -> Option<Vec<Self>> {
        let elements: Vec<&'a RawValue> = serde_json::from_str(self.raw.get()).ok()?;
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
