//! The fields of one server: their values, which scripts see, and their lines, which messages name. Read by
//! [`super::read`] only.

use super::super::{
    node::{Node, Problems, join},
    section::shortened,
};
use serde_json::{Map, Value};
use std::rc::Rc;

/// An entry of a type's list, or one of the servers that it stands for.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    entry: Node<'a>,
    path: Rc<str>,
    places: Rc<[(String, Node<'a>)]>,
    pub(super) values: Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Reads an entry. `path`: its name, for messages.
    pub(super) fn read(entry: Node<'a>, path: String, problems: &mut Problems) -> Option<Self> {
        let Some(places) = entry.entries(&path, problems) else {
            let cause = "has to be an object, { \"id\": …, \"host\": …, \"port\": … }";
            problems.at(entry, &path, cause);
            return None;
        };
        let value = |(key, node): &(String, Node<'a>)| Some((key.clone(), node.value()?));
        Some(Self {
            values: places.iter().filter_map(value).collect(),
            entry,
            path: path.into(),
            places: places.into(),
        })
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub(super) fn set(&mut self, key: &str, value: Value) {
        self.values.insert(key.to_owned(), value);
    }

    /// A string that is not empty, if the field is there.
    pub(super) fn text(&self, key: &str, problems: &mut Problems) -> Option<String> {
        let value = self.values.get(key)?;
        let text = value.as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.unfit(key, value, "has to be a string that is not empty", problems);
        }
        text.map(str::to_owned)
    }

    /// `true`, or `"true"` as Pomelo's command line has it. Scripts see a boolean.
    pub(super) fn flag(&mut self, key: &str, problems: &mut Problems) -> bool {
        let Some(value) = self.values.get(key) else {
            return false;
        };
        let flag = value.as_bool().or_else(|| value.as_str()?.parse().ok());
        match flag {
            Some(flag) => self.set(key, flag.into()),
            None => self.unfit(key, value, "has to be true or false", problems),
        }
        flag.unwrap_or_default()
    }

    /// A port. Scripts see a number.
    pub(super) fn port(&mut self, key: &str, problems: &mut Problems) -> Option<u16> {
        let value = self.values.get(key)?;
        let port = whole(value).and_then(|number| u16::try_from(number).ok());
        match port {
            Some(port) => self.set(key, port.into()),
            None => {
                let counts = value.as_str().is_some_and(|text| text.ends_with("++"));
                let remedy = if counts {
                    "; only an entry with clusterCount counts up"
                } else {
                    ""
                };
                let cause = format!(
                    "has to be a port, 1 to 65535 (0: any that is free), not {}{remedy}",
                    shortened(&value.to_string())
                );
                self.wrong(key, &cause, problems);
            }
        }
        port
    }

    /// A number of things, from 1. `null` is as good as nothing.
    pub(super) fn count(&self, key: &str, problems: &mut Problems) -> Option<usize> {
        let value = self.values.get(key).filter(|value| !value.is_null())?;
        let count = whole(value).and_then(|number| usize::try_from(number).ok());
        let count = count.filter(|&count| count > 0);
        if count.is_none() {
            self.unfit(key, value, "has to be a whole number from 1", problems);
        }
        count
    }

    /// The line that a field stands on, or the entry if there is none.
    pub(super) fn line(&self, key: &str) -> usize {
        self.node(key).line()
    }

    pub(super) fn wrong(&self, key: &str, cause: &str, problems: &mut Problems) {
        problems.at(self.node(key), &join(&self.path, key), cause);
    }

    pub(super) fn odd(&self, key: &str, cause: &str, problems: &mut Problems) {
        problems.warn(self.node(key), &join(&self.path, key), cause);
    }

    fn unfit(&self, key: &str, value: &Value, cause: &str, problems: &mut Problems) {
        let cause = format!("{cause}, not {}", shortened(&value.to_string()));
        self.wrong(key, &cause, problems);
    }

    fn node(&self, key: &str) -> Node<'a> {
        let place = self.places.iter().find(|(name, _)| name == key);
        place.map_or(self.entry, |(_, node)| *node)
    }
}

/// A whole number, or the text of one.
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
