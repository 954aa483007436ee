//! JSON text to Lua values: a serde visitor that builds tables.
//!
//! The values of an object or array wait in a list until their number is known, so that every table is created at its
//! size and filled in one go. Strings go from the text straight into the VM.

use super::{Json, MAX_DEPTH, surrogates};
use crate::memory;
use mlua::{Either, IntoLua, Lua, MultiValue, Value};
use serde::de::{self, DeserializeSeed, Deserializer as _, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Text that did not become a Lua value.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, nested too deep, or a number no double can hold.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// More bytes than allowed.
    #[error("more than {limit} bytes of JSON")]
    TooLarge {
        /// How many are allowed.
        limit: usize,
    },
    /// The text was read, but now the VM is above its memory limit. What was read is already garbage.
    #[error("the VM has no memory for it")]
    Memory,
    /// The VM refused.
    #[error(transparent)]
    Lua(#[from] mlua::Error),
}

impl ReadError {
    /// The text is at fault, not its length or the VM.
    pub fn is_syntax(&self) -> bool {
        matches!(self, Self::Json(_))
    }
}

pub(super) fn value(lua: &Lua, json: &Json, text: &[u8]) -> Result<Value, ReadError> {
    unlimited(lua, json, text, |text| {
        let mut reader = Reader::new(lua, json);
        let mut source = serde_json::Deserializer::from_str(text);
        let item = Seed(&mut reader).deserialize(&mut source)?;
        source.end()?;
        Ok(nothing_for_null(item.into_lua(lua)?))
    })
}

pub(super) fn list(lua: &Lua, json: &Json, text: &[u8]) -> Result<MultiValue, ReadError> {
    unlimited(lua, json, text, |text| {
        let mut reader = Reader::new(lua, json);
        let mut source = serde_json::Deserializer::from_str(text);
        if !text.trim_ascii_start().starts_with('[') {
            let item = Seed(&mut reader).deserialize(&mut source)?;
            source.end()?;
            return Ok(std::iter::once(nothing_for_null(item.into_lua(lua)?)).collect());
        }
        source.deserialize_seq(Arguments(&mut reader))?;
        source.end()?;
        Ok(reader
            .items
            .drain(..)
            .map(|item| item.into_lua(lua).map(nothing_for_null))
            .collect::<mlua::Result<_>>()?)
    })
}

/// Runs without the VM's memory limit ([`crate::memory`]). What text of a bounded length can allocate is bounded, too,
/// and the limit is checked at the end.
fn unlimited<T>(
    lua: &Lua,
    json: &Json,
    text: &[u8],
    read: impl Fn(&str) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    if text.len() > json.limit {
        return Err(ReadError::TooLarge { limit: json.limit });
    }
    let _lifted = memory::lift(lua);
    let value = mended(text, read)?;
    json.budget.afford(lua).map_err(|_| ReadError::Memory)?;
    Ok(value)
}

/// Reads, and once more with lone surrogates replaced if there were any: JavaScript writes them for half an emoji, and
/// serde refuses them.
fn mended<T>(text: &[u8], read: impl Fn(&str) -> Result<T, ReadError>) -> Result<T, ReadError> {
    match checked(text).and_then(&read) {
        Err(ReadError::Json(error)) => match surrogates::mend(text) {
            Some(mended) => checked(&mended).and_then(read),
            None => Err(error.into()),
        },
        result => result,
    }
}

/// At once for all of it: to serde each string is one to check.
fn checked(text: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(text).map_err(|_| {
        // Serde knows the place.
        let refused = serde_json::from_slice::<serde_json::Value>(text).err();
        ReadError::Json(refused.unwrap_or_else(|| de::Error::custom("text that is not UTF-8")))
    })
}

/// Wherever Lua can say that there is nothing, it does: `json.null` is true in an `if`.
fn nothing_for_null(value: Value) -> Value {
    if value.is_null() { Value::Nil } else { value }
}

fn is_null(item: &Item<'_>) -> bool {
    matches!(item, Either::Right(Either::Right(value)) if value.is_null())
}

/// A string of the text or one that had escapes, or any other value.
type Item<'de> = Either<&'de str, Either<String, Value>>;
type Key<'de> = Either<&'de str, String>;

fn plain<'de>(value: Value) -> Item<'de> {
    Either::Right(Either::Right(value))
}

struct Reader<'de, 'a> {
    lua: &'a Lua,
    json: &'a Json,
    /// What the objects around the current place have so far.
    pairs: Vec<(Key<'de>, Item<'de>)>,
    /// The same for arrays.
    items: Vec<Item<'de>>,
    depth: usize,
}

impl<'de, 'a> Reader<'de, 'a> {
    fn new(lua: &'a Lua, json: &'a Json) -> Self {
        Self {
            lua,
            json,
            pairs: Vec::new(),
            items: Vec::new(),
            depth: 0,
        }
    }

    fn deeper<E: de::Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        if self.json.budget.is_over() {
            return Err(E::custom("no time left to read it"));
        }
        Ok(())
    }

    fn elements<A: SeqAccess<'de>>(&mut self, mut seq: A) -> Result<(), A::Error> {
        self.deeper()?;
        while let Some(item) = seq.next_element_seed(Seed(self))? {
            self.items.push(item);
        }
        self.depth -= 1;
        Ok(())
    }
}

struct Seed<'r, 'de, 'a>(&'r mut Reader<'de, 'a>);

impl<'de> DeserializeSeed<'de> for Seed<'_, 'de, '_> {
    type Value = Item<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Item<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, 'de, '_> {
    type Value = Item<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Item<'de>, E> {
        Ok(plain(Value::NULL))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Item<'de>, E> {
        Ok(plain(Value::Boolean(value)))
    }

    // Luau has one kind of number. Rounding to it is the rule for whole numbers above 2^53.
    fn visit_u64<E>(self, value: u64) -> Result<Item<'de>, E> {
        Ok(plain(Value::Number(value as f64)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Item<'de>, E> {
        Ok(plain(Value::Number(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Item<'de>, E> {
        Ok(plain(Value::Number(value)))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Item<'de>, E> {
        Ok(Either::Left(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Item<'de>, E> {
        Ok(Either::Right(Either::Left(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Item<'de>, A::Error> {
        let reader = self.0;
        let start = reader.items.len();
        reader.elements(seq)?;
        let table = reader
            .lua
            .create_sequence_from(reader.items.drain(start..))
            .map_err(de::Error::custom)?;
        table
            .set_metatable(Some(reader.json.array.clone()))
            .map_err(de::Error::custom)?;
        Ok(plain(Value::Table(table)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item<'de>, A::Error> {
        let reader = self.0;
        let start = reader.pairs.len();
        reader.deeper()?;
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let mut item = map.next_value_seed(Seed(reader))?;
            if is_null(&item) {
                // Pushed all the same: of two equal keys the last one counts, and it may be this.
                item = plain(Value::Nil);
            }
            reader.pairs.push((key, item));
        }
        reader.depth -= 1;
        let pairs = Spacious(reader.pairs.drain(start..));
        let table = reader.lua.create_table_from(pairs).map_err(de::Error::custom)?;
        Ok(plain(Value::Table(table)))
    }
}

/// Makes a table with room for one field more: a client's message gets its route, and scripts add a code to answers.
/// In a table of one, two, four or eight fields every field would move. (mlua takes the hint as a capacity.)
struct Spacious<I>(I);

impl<I: Iterator> Iterator for Spacious<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.0.size_hint();
        // Nobody adds to a large one, and it would take twice the memory.
        (
            if least <= 8 { least + 1 } else { least },
            most.map(|most| most + 1),
        )
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Key<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Either::Left(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Either::Right(key.to_owned()))
    }
}

/// Leaves the elements of the outermost array in the reader, unbuilt.
struct Arguments<'r, 'de, 'a>(&'r mut Reader<'de, 'a>);

impl<'de> Visitor<'de> for Arguments<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.0.elements(seq)
    }
}
