//! The arguments of a question, one by one. Those that are left out at the end are null.

use super::bad;
use chathost_core::{
    channel::Member,
    envelope::{ServerId, Uid},
    error::CallError,
    session::Settings,
};
use serde_json::Value;

pub(super) struct Args<'a> {
    name: &'a str,
    values: Vec<Value>,
}

type Arg<T> = Result<T, CallError>;

impl<'a> Args<'a> {
    pub(super) fn read(name: &'a str, args: &[u8]) -> Arg<Self> {
        let values = match args {
            [] => Vec::new(),
            args => serde_json::from_slice(args)
                .map_err(|error| bad(format!("{name}: the arguments are no JSON array: {error}")))?,
        };
        Ok(Self { name, values })
    }

    pub(super) fn value(&self, place: usize) -> Value {
        self.values.get(place).cloned().unwrap_or_default()
    }

    pub(super) fn optional(&self, place: usize) -> Option<&str> {
        self.values.get(place)?.as_str()
    }

    pub(super) fn number(&self, place: usize) -> Arg<u64> {
        let number = self.values.get(place).and_then(Value::as_u64);
        number.ok_or_else(|| self.wrong(place, "a number"))
    }

    pub(super) fn text(&self, place: usize) -> Arg<&str> {
        self.optional(place).ok_or_else(|| self.wrong(place, "a string"))
    }

    /// A user's id or a channel's name: text, or a number that becomes its decimal text.
    pub(super) fn uid(&self, place: usize) -> Arg<Uid> {
        uid(self.values.get(place)).ok_or_else(|| self.wrong(place, "a string or a number"))
    }

    pub(super) fn settings(&self, place: usize) -> Arg<Settings> {
        match self.value(place) {
            Value::Object(settings) => Ok(settings.into()),
            _ => Err(self.wrong(place, "an object")),
        }
    }

    pub(super) fn server(&self, place: usize) -> Arg<ServerId> {
        self.text(place).map(Into::into)
    }

    fn wrong(&self, place: usize, wanted: &str) -> CallError {
        bad(format!(
            "{}: argument {} has to be {wanted}",
            self.name,
            place + 1
        ))
    }
}

fn uid(value: Option<&Value>) -> Option<Uid> {
    match value? {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// `["alice", "bob"]`.
pub(super) fn uids(list: &[u8]) -> Arg<Vec<Uid>> {
    let wrong = || bad("exclude has to be an array of uids".to_owned());
    let list: Vec<Value> = serde_json::from_slice(list).map_err(|_| wrong())?;
    list.iter()
        .map(|value| uid(Some(value)).ok_or_else(wrong))
        .collect()
}

/// `[{"uid": …, "sid": …}, …]`. An entry without a sid cannot be reached and is returned apart.
pub(super) fn members(list: &[u8]) -> Arg<(Vec<Member>, Vec<Uid>)> {
    let wrong = || bad("users have to be an array of { \"uid\": …, \"sid\": … }".to_owned());
    let list: Vec<Value> = serde_json::from_slice(list).map_err(|_| wrong())?;
    let (mut members, mut nowhere) = (Vec::new(), Vec::new());
    for entry in &list {
        let uid = uid(entry.get("uid")).ok_or_else(wrong)?;
        match entry.get("sid").and_then(Value::as_str) {
            Some(sid) => members.push(Member { uid, sid: sid.into() }),
            None => nowhere.push(uid),
        }
    }
    Ok((members, nowhere))
}
