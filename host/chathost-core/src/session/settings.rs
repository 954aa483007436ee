//! What scripts keep in a session. A leaf.

use serde_json::{Map, Value};

/// So many settings take just the memory they need; more make room for others.
const FEW: usize = 8;

/// JSON values by key, in the order of the keys.
///
/// A session has one or two, and the map of serde_json takes 640 bytes for the first: here it is 48, and half a kilobyte less
/// for each client who is in a room.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings(Vec<(Box<str>, Value)>);

impl Settings {
    /// No settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is kept under a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let place = self.place(key).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    /// Keeps a value, instead of the one that was there.
    pub fn insert(&mut self, key: impl Into<Box<str>> + AsRef<str>, value: Value) {
        match self.place(key.as_ref()) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => {
                if self.0.len() < FEW {
                    self.0.reserve_exact(1);
                }
                self.0.insert(place, (key.into(), value));
            }
        }
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &str) {
        if let Ok(place) = self.place(key) {
            self.0.remove(place);
        }
    }

    /// Keeps all that the others have as well.
    pub fn extend(&mut self, others: &Self) {
        for (key, value) in &others.0 {
            self.insert(key.clone(), value.clone());
        }
    }

    /// All of them, as a JSON object.
    pub fn to_json(&self) -> Value {
        let fields = self.0.iter();
        Value::Object(
            fields
                .map(|(key, value)| (String::from(&**key), value.clone()))
                .collect(),
        )
    }

    /// Where a key is, or would be.
    fn place(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(key))
    }
}

impl From<Map<String, Value>> for Settings {
    fn from(fields: Map<String, Value>) -> Self {
        let mut settings = Self::new();
        for (key, value) in fields {
            settings.insert(key, value);
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
            settings.remove(key);
            expected.remove(key);
        }
        assert_eq!(
            settings.to_json().to_string(),
            Value::Object(expected.clone()).to_string()
        );
        assert_eq!(settings, expected.into());

        let others = Map::from_iter([("rid".to_owned(), "tea".into()), ("c".to_owned(), Value::Null)]);
        settings.extend(&others.into());
        assert_eq!(
            settings.to_json(),
            json!({ "": 3, "a": 6, "c": null, "listening": 2, "rid": "tea", "ä": 5 })
        );
    }

    #[test]
    fn takes_no_more_than_it_needs() {
        let mut settings = Settings::new();
        settings.insert("rid", "tea".into());
        settings.insert("listening", true.into());
        assert_eq!(settings.0.capacity(), 2);
        assert_eq!(settings.clone().0.capacity(), 2);
    }
}
