//! What scripts keep in a session.

use crate::{
    error::CallError,
    kept::{Allowance, entry},
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// JSON values by key, in the order of the keys.
///
/// A session has one or two, and the map of serde_json takes 640 bytes for the first: here it is 48, and half a kilobyte less
/// for each client who is in a room.
#[derive(Debug)]
pub struct Settings {
    entries: Entries,
    /// Whose part of it they are. It is given back with them, wherever they are by then.
    of: Option<Arc<Allowance>>,
    /// Of what is counted.
    bytes: usize,
}

#[derive(Debug, Clone)]
enum Entries {
    /// In just the memory they need.
    Few(Vec<(Box<str>, Value)>),
    /// A script may write thousands.
    Many(Map<String, Value>),
}

impl Entries {
    fn bytes(&self) -> usize {
        match self {
            Self::Few(few) => few.iter().map(|(key, value)| entry(key, value)).sum(),
            Self::Many(many) => many.iter().map(|(key, value)| entry(key, value)).sum(),
        }
    }
}

/// More than these are many.
const FEW: usize = 8;

impl Default for Settings {
    fn default() -> Self {
        Self {
            entries: Entries::Few(Vec::new()),
            of: None,
            bytes: 0,
        }
    }
}

impl Settings {
    /// No settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a key, or forgets it, in settings that others may see as they were. They are a part of this allowance from
    /// then on.
    ///
    /// # Errors
    /// There is no more of it. Then nothing has changed.
    pub(crate) fn change(
        this: &mut Arc<Self>,
        allowance: &Arc<Allowance>,
        key: &str,
        value: Option<Value>,
    ) -> Result<(), CallError> {
        if value.is_none() && this.get(key).is_none() {
            return Ok(());
        }
        if let Some(own) = Arc::get_mut(this) {
            return own.write(allowance, key, value);
        }
        let mut copy = Self::clone(this);
        copy.write(allowance, key, value)?;
        *this = Arc::new(copy);
        Ok(())
    }

    /// The same for all that the others have.
    pub(crate) fn change_all(
        this: &mut Arc<Self>,
        allowance: &Arc<Allowance>,
        others: &Self,
    ) -> Result<(), CallError> {
        let mut copy = Self::clone(this);
        let mut write = |key: &str, value: &Value| copy.write(allowance, key, Some(value.clone()));
        match &others.entries {
            Entries::Few(few) => few.iter().try_for_each(|(key, value)| write(key, value)),
            Entries::Many(many) => many.iter().try_for_each(|(key, value)| write(key, value)),
        }?;
        *this = Arc::new(copy);
        Ok(())
    }

    /// Writes a key, or forgets it. They are a part of this allowance from then on.
    ///
    /// # Errors
    /// There is no more of it. Then nothing has changed.
    pub(crate) fn write(
        &mut self,
        allowance: &Arc<Allowance>,
        key: &str,
        value: Option<Value>,
    ) -> Result<(), CallError> {
        let less = self.get(key).map_or(0, |value| entry(key, value));
        let more = value.as_ref().map_or(0, |value| entry(key, value));
        match &self.of {
            Some(of) if Arc::ptr_eq(of, allowance) => {
                of.exchange(less, more)?;
                self.bytes = self.bytes - less + more;
            }
            of => {
                let bytes = self.entries.bytes() - less + more;
                allowance.exchange(0, bytes)?;
                if let Some(of) = of {
                    of.give_back(self.bytes);
                }
                self.of = Some(allowance.clone());
                self.bytes = bytes;
            }
        }
        match value {
            Some(value) => self.put(key, value),
            None => self.forget(key),
        }
        Ok(())
    }

    /// What they take of their allowance.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is kept under a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match &self.entries {
            Entries::Few(few) => few
                .iter()
                .find(|(other, _)| **other == *key)
                .map(|(_, value)| value),
            Entries::Many(many) => many.get(key),
        }
    }

    /// Keeps a value, instead of the one that was there, in settings that nobody keeps yet.
    pub fn insert(&mut self, key: &str, value: Value) {
        debug_assert!(self.of.is_none(), "these are counted");
        self.put(key, value);
    }

    fn put(&mut self, key: &str, value: Value) {
        let few = match &mut self.entries {
            Entries::Few(few) => few,
            Entries::Many(many) => return drop(many.insert(key.to_owned(), value)),
        };
        match few.binary_search_by(|(other, _)| (**other).cmp(key)) {
            Ok(place) => few[place].1 = value,
            Err(place) if few.len() < FEW => {
                few.reserve_exact(1);
                few.insert(place, (key.into(), value));
            }
            Err(_) => {
                let few = few.drain(..).map(|(key, value)| (key.into_string(), value));
                let mut many: Map<_, _> = few.collect();
                many.insert(key.to_owned(), value);
                self.entries = Entries::Many(many);
            }
        }
    }

    fn forget(&mut self, key: &str) {
        match &mut self.entries {
            Entries::Few(few) => few.retain(|(other, _)| **other != *key),
            Entries::Many(many) => drop(many.remove(key)),
        }
    }

    /// All of them, as a JSON object.
    pub fn to_json(&self) -> Value {
        Value::Object(match &self.entries {
            Entries::Few(few) => few
                .iter()
                .map(|(key, value)| (String::from(&**key), value.clone()))
                .collect(),
            Entries::Many(many) => many.clone(),
        })
    }
}

/// A copy is nobody's part of anything yet.
impl Clone for Settings {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            of: None,
            bytes: 0,
        }
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        if let Some(of) = &self.of {
            of.give_back(self.bytes);
        }
    }
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.to_json() == other.to_json()
    }
}

impl From<Map<String, Value>> for Settings {
    fn from(fields: Map<String, Value>) -> Self {
        let mut settings = Self::new();
        for (key, value) in fields {
            settings.insert(&key, value);
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_map_in_the_order_of_the_keys() {
        let mut settings = Settings::new();
        let mut expected = Map::new();
        for (number, key) in ["rid", "b", "listening", "", "rid", "ä", "a"]
            .into_iter()
            .enumerate()
        {
            settings.insert(key, number.into());
            expected.insert(key.to_owned(), number.into());
            assert_eq!(settings.get(key), expected.get(key));
        }
        assert_eq!(settings.get("nosuch"), None);
        for key in ["b", "nosuch"] {
            settings.forget(key);
            expected.remove(key);
        }
        assert_eq!(
            settings.to_json().to_string(),
            Value::Object(expected.clone()).to_string()
        );
        assert_eq!(settings, expected.into());

        let others = Map::from_iter([("rid".to_owned(), "tea".into()), ("c".to_owned(), Value::Null)]);
        let mut settings = Arc::new(settings);
        Settings::change_all(&mut settings, &Allowance::new(1), &others.into()).unwrap();
        assert_eq!(
            settings.to_json(),
            json!({ "": 3, "a": 6, "c": null, "listening": 2, "rid": "tea", "ä": 5 })
        );
    }

    #[test]
    fn are_a_part_of_an_allowance() {
        let (allowance, other) = (Allowance::new(1), Allowance::new(1));
        let mut settings = Arc::new(Settings::new());
        let text = |bytes: usize| Some(Value::String("x".repeat(bytes)));
        Settings::change(&mut settings, &allowance, "a", text(600_000)).unwrap();
        let used = allowance.used();
        assert!((600_000..601_000).contains(&used), "{used}");
        // As long as somebody sees what they were, that is kept as well.
        let seen = settings.clone();
        assert!(Settings::change(&mut settings, &allowance, "b", text(1)).is_err());
        assert!(Arc::ptr_eq(&settings, &seen));
        Settings::change(&mut settings, &other, "b", text(1)).unwrap();
        assert_eq!(allowance.used(), used);
        drop(seen);
        assert_eq!(allowance.used(), 0);

        let before = other.used();
        assert!(Settings::change(&mut settings, &other, "c", text(600_000)).is_err());
        let same = Settings::clone(&settings);
        assert!(Settings::change_all(&mut settings, &other, &same).is_err());
        assert_eq!((settings.get("c"), other.used()), (None, before));
        Settings::change(&mut settings, &other, "a", None).unwrap();
        Settings::change(&mut settings, &other, "c", text(600_000)).unwrap();
        drop(settings);
        assert_eq!(other.used(), 0);
    }

    #[test]
    fn takes_no_more_than_it_needs() {
        let mut settings = Settings::new();
        settings.insert("rid", "tea".into());
        settings.insert("listening", true.into());
        let capacity = |settings: &Settings| match &settings.entries {
            Entries::Few(few) => few.capacity(),
            Entries::Many(_) => usize::MAX,
        };
        assert_eq!(capacity(&settings), 2);
        assert_eq!(capacity(&settings.clone()), 2);
    }

    #[test]
    fn many() {
        let mut settings = Settings::new();
        let mut expected = Map::new();
        for number in (0..20).rev() {
            let key = format!("key {number}");
            settings.insert(&key, number.into());
            expected.insert(key, number.into());
            assert_eq!(settings.to_json(), Value::Object(expected.clone()));
        }
        assert_eq!(settings, expected.into());
        let mut others = Settings::new();
        others.insert("rid", "tea".into());
        let mut others = Arc::new(others);
        Settings::change_all(&mut others, &Allowance::new(1), &settings).unwrap();
        settings.insert("rid", "tea".into());
        assert_eq!(settings, *others);
        settings.forget("rid");
        assert_eq!(settings.get("rid"), None);
        assert_eq!(settings.get("key 7"), Some(&7.into()));
    }
}
