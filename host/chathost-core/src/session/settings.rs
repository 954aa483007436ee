//! What scripts keep in a session. A leaf.

use serde_json::{Map, Value};

/// JSON values by key, in the order of the keys.
///
/// A session has one or two, and the map of serde_json takes 640 bytes for the first: here it is 48, and half a kilobyte less
/// for each client who is in a room.
#[derive(Debug, Clone)]
pub struct Settings(Kept);

#[derive(Debug, Clone)]
enum Kept {
    /// In just the memory they need.
    Few(Vec<(Box<str>, Value)>),
    /// A script may write thousands.
    Many(Map<String, Value>),
}

/// More than these are many.
const FEW: usize = 8;

impl Default for Settings {
    fn default() -> Self {
        Self(Kept::Few(Vec::new()))
    }
}

impl Settings {
    /// No settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is kept under a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match &self.0 {
            Kept::Few(few) => few
                .iter()
                .find(|(other, _)| **other == *key)
                .map(|(_, value)| value),
            Kept::Many(many) => many.get(key),
        }
    }

    /// Keeps a value, instead of the one that was there.
    pub fn insert(&mut self, key: &str, value: Value) {
        let few = match &mut self.0 {
            Kept::Few(few) => few,
            Kept::Many(many) => return drop(many.insert(key.to_owned(), value)),
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
                self.0 = Kept::Many(many);
            }
        }
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &str) {
        match &mut self.0 {
            Kept::Few(few) => few.retain(|(other, _)| **other != *key),
            Kept::Many(many) => drop(many.remove(key)),
        }
    }

    /// Keeps all that the others have as well.
    pub fn extend(&mut self, others: &Self) {
        match &others.0 {
            Kept::Few(few) => few
                .iter()
                .for_each(|(key, value)| self.insert(key, value.clone())),
            Kept::Many(many) => many
                .iter()
                .for_each(|(key, value)| self.insert(key, value.clone())),
        }
    }

    /// All of them, as a JSON object.
    pub fn to_json(&self) -> Value {
        Value::Object(match &self.0 {
            Kept::Few(few) => few
                .iter()
                .map(|(key, value)| (String::from(&**key), value.clone()))
                .collect(),
            Kept::Many(many) => many.clone(),
        })
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
        let capacity = |settings: &Settings| match &settings.0 {
            Kept::Few(few) => few.capacity(),
            Kept::Many(_) => usize::MAX,
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
        others.extend(&settings);
        settings.insert("rid", "tea".into());
        assert_eq!(settings, others);
        settings.remove("rid");
        assert_eq!(settings.get("rid"), None);
        assert_eq!(settings.get("key 7"), Some(&7.into()));
    }
}
