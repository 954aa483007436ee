//! What handlers keep in their server outside of their VM, counted in bytes. A leaf.
//!
//! A VM has a limit of its own; channels, members, settings and values are the host's memory. Each of them is bounded, and
//! a timer can make millions. Here is the bound of all of them together. What is counted is the text that is kept and
//! about what maps, trees and the allocator take for it.

use crate::error::CallError;
use serde_json::Value;
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// What the handlers of one server may keep. Only its own thread takes of it; settings that travel are given back by
/// whoever drops them.
#[derive(Debug)]
pub struct Allowance {
    limit: usize,
    used: AtomicUsize,
    /// What is used of this is used of that.
    whole: Option<Arc<Self>>,
}

impl Allowance {
    /// Nothing is used.
    pub(crate) fn new(mebibytes: u32) -> Arc<Self> {
        Arc::new(Self {
            limit: usize::try_from(mebibytes).unwrap_or(usize::MAX >> 20) << 20,
            used: AtomicUsize::new(0),
            whole: None,
        })
    }

    /// To be counted apart, too.
    pub(crate) fn part(self: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self {
            limit: self.limit,
            used: AtomicUsize::new(0),
            whole: Some(self.clone()),
        })
    }

    /// A sixteenth of it: what is worth looking for when that much is not left.
    pub(crate) fn little(&self) -> usize {
        self.limit / 16
    }

    /// Whether hardly anything of it is left.
    pub(crate) fn is_scarce(&self) -> bool {
        self.used() > self.limit - self.little()
    }

    /// Bytes that are kept now.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// A part of it, for as long as that lives.
    pub(crate) fn keep(self: &Arc<Self>, bytes: usize) -> Result<Kept, CallError> {
        self.exchange(0, bytes)?;
        Ok(Kept {
            allowance: self.clone(),
            bytes: Cell::new(bytes),
        })
    }

    /// Takes more instead of less. What does not grow is never refused.
    pub(crate) fn exchange(&self, less: usize, more: usize) -> Result<(), CallError> {
        if more <= less {
            self.give_back(less - more);
            return Ok(());
        }
        let more = more - less;
        if let Some(whole) = &self.whole {
            whole.exchange(0, more)?;
        } else if self.used().saturating_add(more) > self.limit {
            return Err(CallError::failed(format!(
                "this server's handlers keep more than {} MiB in channels, sessions and values (script.keptMb)",
                self.limit >> 20
            )));
        }
        self.used.fetch_add(more, Relaxed);
        Ok(())
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
        if let Some(whole) = &self.whole {
            whole.give_back(bytes);
        }
    }
}

/// A part of an [`Allowance`], given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    allowance: Arc<Allowance>,
    bytes: Cell<usize>,
}

impl Kept {
    pub(crate) fn allowance(&self) -> &Arc<Allowance> {
        &self.allowance
    }

    pub(crate) fn add(&self, bytes: usize) -> Result<(), CallError> {
        self.allowance.exchange(0, bytes)?;
        self.bytes.set(self.bytes.get() + bytes);
        Ok(())
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.allowance.give_back(bytes);
        self.bytes.set(self.bytes.get() - bytes);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.allowance.give_back(self.bytes.get());
    }
}

/// What a value takes under its key.
pub(crate) fn entry(key: &str, value: &Value) -> usize {
    /// Two words of text, the value, and a share of the map's room for more.
    const ENTRY: usize = 96;
    ENTRY + key.len() + beyond(value)
}

/// What a value takes beyond itself.
fn beyond(value: &Value) -> usize {
    /// serde_json makes room for the first eleven fields at once.
    const OBJECT: usize = 640;
    const BLOCK: usize = 16;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => BLOCK + text.len(),
        Value::Array(list) => {
            BLOCK
                + list
                    .iter()
                    .map(|item| size_of::<Value>() + beyond(item))
                    .sum::<usize>()
        }
        Value::Object(fields) if fields.is_empty() => 0,
        Value::Object(fields) => OBJECT + fields.iter().map(|(key, value)| entry(key, value)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn is_bounded_and_given_back() {
        let allowance = Allowance::new(1);
        let half = allowance.keep(1 << 19).unwrap();
        half.add((1 << 19) - 10).unwrap();
        let refused = half.add(11).unwrap_err();
        assert_eq!(
            refused.message,
            "this server's handlers keep more than 1 MiB in channels, sessions and values (script.keptMb)"
        );
        assert!(allowance.keep(11).is_err());
        assert_eq!(allowance.used(), (1 << 20) - 10);
        half.give_back(1);
        drop(allowance.keep(11).unwrap());
        assert!(allowance.keep(usize::MAX).is_err());
        assert!(allowance.is_scarce());
        drop(half);
        assert_eq!(allowance.used(), 0);

        let part = allowance.part();
        let half = part.keep(1 << 19).unwrap();
        assert!(allowance.keep((1 << 19) + 1).is_err() && part.keep((1 << 19) + 1).is_err());
        assert_eq!((allowance.used(), part.used()), (1 << 19, 1 << 19));
        assert!(!allowance.is_scarce());
        drop(half);
        assert_eq!((allowance.used(), part.used()), (0, 0));
    }

    #[test]
    fn text_counts_wherever_it_is() {
        let text = "x".repeat(1000);
        for value in [json!(text), json!([1, [text]]), json!({ "a": [{ "b": text }] })] {
            let bytes = entry("key", &value);
            assert!((1000..3000).contains(&bytes), "{bytes}");
        }
        assert!(entry(&text, &json!(null)) >= 1000);
        assert!(entry("", &json!([[], [], [], []])) >= 4 * size_of::<Value>());
    }
}
