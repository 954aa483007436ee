//! An object of known keys: what is there is checked and taken, what is not stays as it was, anything else is refused.

use super::{
    nearest::nearest,
    node::{Node, Problems, join},
};
use std::ops::RangeInclusive;

/// The keys of one object that nobody has asked for yet.
pub(super) struct Section<'a, 'p> {
    node: Node<'a>,
    path: String,
    left: Vec<(String, Node<'a>)>,
    known: Vec<String>,
    pub(super) problems: &'p mut Problems,
}

/// Reads an object: `take` names every key there may be.
pub(super) fn read<'a>(
    node: Node<'a>,
    path: &str,
    problems: &mut Problems,
    take: impl FnOnce(&mut Section<'a, '_>),
) {
    let Some(left) = node.entries(path, problems) else {
        return problems.at(node, path, "has to be an object, { … }");
    };
    let mut section = Section {
        node,
        path: path.to_owned(),
        left,
        known: Vec::new(),
        problems,
    };
    take(&mut section);
    section.finish();
}

/// Reads a list of strings.
pub(super) fn read_list(node: Node<'_>, path: &str, problems: &mut Problems, list: &mut Vec<String>) {
    let Some(elements) = node.array() else {
        return problems.at(node, path, "has to be a list of strings, [\"…\"]");
    };
    list.clear();
    for (place, element) in elements.into_iter().enumerate() {
        match element.value() {
            Some(string) => list.push(string),
            None => {
                let cause = format!("has to be a string, not {}", shortened(element.text()));
                problems.at(element, &format!("{path}[{place}]"), &cause);
            }
        }
    }
}

impl<'a> Section<'a, '_> {
    /// The value of a key, which is known from here on.
    pub(super) fn take(&mut self, key: &str) -> Option<Node<'a>> {
        self.known.push(key.to_owned());
        let place = self.left.iter().position(|(name, _)| name == key)?;
        Some(self.left.remove(place).1)
    }

    /// Says what is wrong between a key and another.
    pub(super) fn wrong(&mut self, key: &str, cause: &str) {
        self.problems.at(self.node, &self.name(key), cause);
    }

    /// Whether nobody has asked for this key, and it is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.left.iter().any(|(name, _)| name == key)
    }

    /// A key's full name, for messages.
    pub(super) fn name(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// A section in the section.
    pub(super) fn group(&mut self, key: &str, take: impl FnOnce(&mut Section<'a, '_>)) {
        let Some(node) = self.take(key) else { return };
        let path = self.name(key);
        read(node, &path, self.problems, take);
    }

    pub(super) fn flag(&mut self, key: &str, value: &mut bool) {
        self.set(key, value, "has to be true or false", |node| node.value());
    }

    pub(super) fn text(&mut self, key: &str, value: &mut String) {
        self.set(key, value, "has to be a string that is not empty", |node| {
            node.value::<String>().filter(|text| !text.is_empty())
        });
    }

    pub(super) fn list(&mut self, key: &str, value: &mut Vec<String>) {
        if let Some(node) = self.take(key) {
            let path = self.name(key);
            read_list(node, &path, self.problems, value);
        }
    }

    pub(super) fn number(&mut self, key: &str, value: &mut u32, range: RangeInclusive<u32>) {
        let cause = format!(
            "has to be a whole number from {} to {}",
            range.start(),
            range.end()
        );
        self.set(key, value, &cause, |node| {
            node.value().filter(|number| range.contains(number))
        });
    }

    /// A number, or `null` or `false` for none.
    pub(super) fn optional(&mut self, key: &str, value: &mut Option<u32>, range: RangeInclusive<u32>) {
        let cause = format!(
            "has to be a whole number from {} to {}, or null",
            range.start(),
            range.end()
        );
        self.set(key, value, &cause, |node| match node.text() {
            "null" | "false" => Some(None),
            _ => node.value().filter(|number| range.contains(number)).map(Some),
        });
    }

    pub(super) fn port(&mut self, key: &str, value: &mut u16) {
        self.set(
            key,
            value,
            "has to be a port, 0 to 65535 (0: any that is free)",
            |node| node.value(),
        );
    }

    /// Sets a value if the key is there and `read` makes one of it.
    pub(super) fn set<T>(
        &mut self,
        key: &str,
        value: &mut T,
        cause: &str,
        read: impl FnOnce(Node<'a>) -> Option<T>,
    ) {
        let Some(node) = self.take(key) else { return };
        match read(node) {
            Some(read) => *value = read,
            None => self.problems.at(
                node,
                &self.name(key),
                &format!("{cause}, not {}", shortened(node.text())),
            ),
        }
    }

    /// The keys that are left, for sections whose names are the file's own.
    pub(super) fn rest(&mut self) -> Vec<(String, Node<'a>)> {
        std::mem::take(&mut self.left)
    }

    pub(super) fn unknown(&mut self, key: &str, node: Node<'_>, known: &[&str]) {
        let remedy = match nearest(key, known) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("known are {}", known.join(", ")),
        };
        let name = self.name(key);
        self.problems.at(node, &name, &format!("unknown; {remedy}"));
    }

    fn finish(mut self) {
        let known = std::mem::take(&mut self.known);
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        for (key, node) in self.rest() {
            self.unknown(&key, node, &known);
        }
    }
}

/// A value as messages quote it.
pub(super) fn shortened(text: &str) -> String {
    let mut start: String = text.chars().take(40).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}
