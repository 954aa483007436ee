//! Lua values to JSON text, with the limits checked on the way.
//!
//! A script can hand over a table of any size, depth or shape, cycles included; writing it happens after the script has
//! ended, so nothing else would stop it.

use super::{Json, MAX_DEPTH};
use mlua::{BString, FromLua, Table, Value};
use serde_json::ser::{CompactFormatter, Formatter};
use std::{fmt, io};

/// A value that could not be sent. The place is where in the value, as a script would write it: `users[3].name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// More bytes than allowed.
    #[error("more than {limit} bytes of JSON{place}")]
    TooLarge {
        /// How many are allowed.
        limit: usize,
        /// Where the limit was reached.
        place: Place,
    },
    /// Tables in tables in tables; a cycle is one of these.
    #[error("nested deeper than {MAX_DEPTH} levels, or a table that contains itself{place}")]
    TooDeep {
        /// Where, cut to its first steps.
        place: Place,
    },
    /// A function, a coroutine, a userdata …
    #[error("a {kind} has no JSON{place}")]
    NotJson {
        /// Its Lua type.
        kind: &'static str,
        /// Where it is.
        place: Place,
    },
    /// A key that is neither a string nor a number.
    #[error("a {kind} cannot be the key of a JSON object{place}")]
    BadKey {
        /// Its Lua type.
        kind: &'static str,
        /// The table.
        place: Place,
    },
    /// The call that the value is written for has no time left.
    #[error("no time left to write JSON")]
    OutOfTime,
}

impl WriteError {
    /// Adds the step that leads from a table to where the error is.
    fn inside(mut self, step: Step<'_>) -> Self {
        match &mut self {
            Self::TooLarge { place, .. }
            | Self::TooDeep { place }
            | Self::NotJson { place, .. }
            | Self::BadKey { place, .. } => place.step_out(step),
            Self::OutOfTime => {}
        }
        self
    }
}

/// The way to a place in a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Innermost step first.
    steps: Vec<String>,
}

impl Place {
    /// More steps than this say nothing more.
    const SHOWN: usize = 8;
    /// A key is the script's and may be long.
    const KEY: usize = 40;

    fn step_out(&mut self, step: Step<'_>) {
        self.steps.push(match step {
            Step::Index(index) => format!("[{index}]"),
            Step::Key(key) => {
                let short: String = String::from_utf8_lossy(key).chars().take(Self::KEY).collect();
                let is_name = short.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && short.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if is_name {
                    format!(".{short}")
                } else {
                    format!("[{short:?}]")
                }
            }
        });
    }
}

/// From a table to a value in it.
#[derive(Clone, Copy)]
enum Step<'a> {
    Index(i64),
    Key(&'a [u8]),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(outermost) = self.steps.last() else {
            return Ok(());
        };
        write!(f, ", at {}", outermost.strip_prefix('.').unwrap_or(outermost))?;
        for step in self.steps.iter().rev().skip(1).take(Self::SHOWN - 1) {
            f.write_str(step)?;
        }
        if self.steps.len() > Self::SHOWN {
            f.write_str("…")
        } else {
            Ok(())
        }
    }
}

pub(super) fn value(json: &Json, value: &Value, out: &mut Vec<u8>) -> Result<(), WriteError> {
    Writer { json, depth: 0, out }.value(value)
}

pub(super) fn list<'a>(
    json: &Json,
    values: impl IntoIterator<Item = &'a Value>,
    out: &mut Vec<u8>,
) -> Result<(), WriteError> {
    let mut writer = Writer { json, depth: 1, out };
    writer.raw(b"[")?;
    for (index, value) in (1..).zip(values) {
        writer
            .element(index == 1, value)
            .map_err(|error| error.inside(Step::Index(index)))?;
    }
    writer.raw(b"]")
}

struct Writer<'a> {
    json: &'a Json,
    depth: usize,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value) -> Result<(), WriteError> {
        match value {
            Value::Nil => self.raw(b"null"),
            value if value.is_null() => self.raw(b"null"),
            Value::Boolean(true) => self.raw(b"true"),
            Value::Boolean(false) => self.raw(b"false"),
            Value::Integer(number) => self.number(|out| CompactFormatter.write_i64(out, *number)),
            Value::Number(number) => self.float(*number),
            Value::String(text) => self.text(&text.as_bytes()),
            Value::Table(table) => self.table(table),
            other => Err(WriteError::NotJson {
                kind: other.type_name(),
                place: Place::default(),
            }),
        }
    }

    fn table(&mut self, table: &Table) -> Result<(), WriteError> {
        if self.depth == MAX_DEPTH {
            return Err(WriteError::TooDeep {
                place: Place::default(),
            });
        }
        // Going through a table takes time even if nothing comes of it: there may be a million empty places in it.
        if self.json.budget.is_over() {
            return Err(WriteError::OutOfTime);
        }
        self.depth += 1;
        let length = table.raw_len();
        // An element is a byte at least.
        if length > self.json.limit {
            return Err(self.too_large());
        }
        if length == 0 && !self.is_marked(table) {
            // Without a first element it is no list.
            self.object(table)?;
        } else if length == 0 || !self.array_in_order(table)? {
            match self.array_length(table)? {
                Some(length) => self.array(table, length)?,
                None => self.object(table)?,
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Writes a table as an array, in the hope that its keys come in order, as they nearly always do. `false`: they do
    /// not, and nothing was written.
    fn array_in_order(&mut self, table: &Table) -> Result<bool, WriteError> {
        let start = self.out.len();
        self.raw(b"[")?;
        let mut next = 1;
        let written = each(table, |key: Value, value| {
            if !matches!(key, Value::Integer(key) if key == next) {
                return Ok(false);
            }
            self.element(next == 1, &value)
                .map_err(|error| error.inside(Step::Index(next)))?;
            next += 1;
            Ok(true)
        })?;
        if written {
            self.raw(b"]")?;
        } else {
            self.out.truncate(start);
        }
        Ok(written)
    }

    /// How long an array a table is whose keys do not come in order: a list that was not filled from front to back, or
    /// one that is marked. `None`: it is an object.
    fn array_length(&self, table: &Table) -> Result<Option<usize>, WriteError> {
        let (mut entries, mut last) = (0, 0);
        let has_indexes_only = each(table, |key: Value, _| {
            let index = match key {
                Value::Integer(index) => usize::try_from(index).unwrap_or(0),
                _ => 0,
            };
            entries += 1;
            last = last.max(index);
            Ok(index > 0)
        })?;
        let is_list = (entries == last && last > 0) || self.is_marked(table);
        Ok((has_indexes_only && is_list).then_some(last))
    }

    fn is_marked(&self, table: &Table) -> bool {
        table
            .metatable()
            .is_some_and(|metatable| metatable == self.json.array)
    }

    fn array(&mut self, table: &Table, length: usize) -> Result<(), WriteError> {
        self.raw(b"[")?;
        for index in 1..=length {
            // The keys were just seen; it is not there if it is a hole.
            let value = table.raw_get(index).unwrap_or(Value::Nil);
            self.element(index == 1, &value)
                .map_err(|error| error.inside(Step::Index(i64::try_from(index).unwrap_or(i64::MAX))))?;
        }
        self.raw(b"]")
    }

    fn element(&mut self, is_first: bool, value: &Value) -> Result<(), WriteError> {
        if !is_first {
            self.raw(b",")?;
        }
        self.value(value)
    }

    fn object(&mut self, table: &Table) -> Result<(), WriteError> {
        self.raw(b"{")?;
        let mut is_empty = true;
        // As bytes a key costs less than as a reference into the VM; numbers become text on the way.
        each(table, |key: BString, value| {
            if !is_empty {
                self.raw(b",")?;
            }
            is_empty = false;
            self.text(&key)?;
            self.raw(b":")?;
            self.value(&value)
                .map_err(|error| error.inside(Step::Key(&key)))?;
            Ok(true)
        })?;
        self.raw(b"}")
    }

    fn float(&mut self, number: f64) -> Result<(), WriteError> {
        if !number.is_finite() {
            return self.raw(b"null");
        }
        // Any whole number that an i64 can say: without `.0`, and `-0` as `0`.
        if number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_808.0 {
            return self.number(|out| CompactFormatter.write_i64(out, number as i64));
        }
        self.number(|out| CompactFormatter.write_f64(out, number))
    }

    fn number(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<(), WriteError> {
        // Writing to a vector does not fail; the limit may be passed by the length of one number.
        let _ = write(self.out);
        self.raw(b"")
    }

    fn text(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.raw(b"\"")?;
        // Nearly all text is written as it is, in one piece. Without a way out of the loop it looks at many bytes at once.
        let is_plain = |any, byte: &u8| any & (byte.is_ascii() & !needs_escape(*byte));
        if bytes.iter().fold(true, is_plain) {
            self.raw(bytes)?;
        } else {
            self.escaped(&String::from_utf8_lossy(bytes))?;
        }
        self.raw(b"\"")
    }

    fn escaped(&mut self, text: &str) -> Result<(), WriteError> {
        let mut start = 0;
        for (at, byte) in text.bytes().enumerate() {
            if !needs_escape(byte) {
                continue;
            }
            self.raw(text.as_bytes().get(start..at).unwrap_or_default())?;
            start = at + 1;
            match byte {
                b'"' => self.raw(b"\\\"")?,
                b'\\' => self.raw(b"\\\\")?,
                b'\n' => self.raw(b"\\n")?,
                b'\r' => self.raw(b"\\r")?,
                b'\t' => self.raw(b"\\t")?,
                0x08 => self.raw(b"\\b")?,
                0x0C => self.raw(b"\\f")?,
                ..0x20 => self.unit(u16::from(byte))?,
                // The first of the four bytes of a character above U+FFFF.
                _ => {
                    let mut units = [0; 2];
                    for unit in text
                        .get(at..)
                        .and_then(|rest| rest.chars().next())
                        .unwrap_or_default()
                        .encode_utf16(&mut units)
                    {
                        self.unit(*unit)?;
                    }
                    start = at + 4;
                }
            }
        }
        self.raw(text.as_bytes().get(start..).unwrap_or_default())
    }

    fn unit(&mut self, unit: u16) -> Result<(), WriteError> {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let digit = |shift: u16| DIGITS[usize::from(unit >> shift & 0xF)];
        self.raw(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)])
    }

    fn too_large(&self) -> WriteError {
        WriteError::TooLarge {
            limit: self.json.limit,
            place: Place::default(),
        }
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if self.out.len() + bytes.len() > self.json.limit {
            return Err(self.too_large());
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// In UTF-8, bytes from 0xF0 begin a character above U+FFFF.
fn needs_escape(byte: u8) -> bool {
    matches!(byte, ..0x20 | b'"' | b'\\' | 0xF0..)
}

/// Goes through a table without its metamethods until `visit` says `false`, and says whether it got through.
fn each<K: FromLua>(
    table: &Table,
    mut visit: impl FnMut(K, Value) -> Result<bool, WriteError>,
) -> Result<bool, WriteError> {
    let mut stopped = None;
    let visited = table.for_each(|key: K, value: Value| match visit(key, value) {
        Ok(true) => Ok(()),
        other => {
            stopped = Some(other);
            Err(mlua::Error::StackError)
        }
    });
    match (stopped, visited) {
        (Some(result), _) => result,
        (None, Ok(())) => Ok(true),
        (None, Err(mlua::Error::FromLuaConversionError { from, .. })) => Err(WriteError::BadKey {
            kind: from,
            place: Place::default(),
        }),
        // Only a Lua stack that cannot grow: the depth is to blame.
        (None, Err(_)) => Err(WriteError::TooDeep {
            place: Place::default(),
        }),
    }
}
