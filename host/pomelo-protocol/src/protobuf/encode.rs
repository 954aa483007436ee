//! JSON text to protobuf bytes, field by field as they come.
//!
//! There is no value in between: a visitor of the text writes each field when it meets it, so fields stand in the order
//! of the input, as clients of the original know them. Called for every push and response whose route has a schema.

use super::{
    MAX_DEPTH,
    schema::{Field, FieldKind, FieldOption, MessageType, Schema},
};
use crate::{Error, text::encode_cesu8};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// How strings hold characters above U+FFFF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Astral {
    /// As UTF-8: what everybody but the old JavaScript client reads.
    Utf8,
    /// As two surrogates of three bytes each: what that client writes and reads.
    Surrogates,
}

impl Schema {
    /// The bytes of a message. `null` stands for an optional field that is not there; fields that the schema does not
    /// know are left out.
    ///
    /// # Errors
    /// Text that is not JSON, a required field that is missing, a field that stands there twice, or a value that its
    /// field cannot hold.
    pub fn encode(&self, route: &str, json: &[u8], astral: Astral) -> Result<Vec<u8>, Error> {
        let mut dst = Vec::with_capacity(json.len());
        let message = Message {
            context: Context {
                schema: self,
                astral,
                depth: 0,
            },
            message: self.message(route)?,
            dst: &mut dst,
        };
        let mut text = serde_json::Deserializer::from_slice(json);
        text.deserialize_map(message)
            .and_then(|()| text.end())
            .map_err(|error| Error::Protobuf(error.to_string()))?;
        Ok(dst)
    }
}

/// What is the same for all of a message.
#[derive(Clone, Copy)]
struct Context<'a> {
    schema: &'a Schema,
    astral: Astral,
    /// Messages around this one.
    depth: usize,
}

struct Message<'a> {
    context: Context<'a>,
    message: &'a MessageType,
    dst: &'a mut Vec<u8>,
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let fields = &self.message.fields;
        let mut seen = vec![false; fields.len()];
        while let Some(known) = map.next_key_seed(Name(self.message))? {
            let Some(place) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let field = &fields[place];
            if std::mem::replace(&mut seen[place], true) {
                return Err(A::Error::custom(format!("{} stands there twice", field.name)));
            }
            let value = Value {
                context: self.context,
                field,
                dst: self.dst,
            };
            let written = map.next_value_seed(value)?;
            if !written && field.option == FieldOption::Required {
                return Err(A::Error::custom(format!("{} is null", field.name)));
            }
        }
        let missing = fields
            .iter()
            .zip(seen)
            .find(|(field, seen)| !seen && field.option == FieldOption::Required);
        match missing {
            Some((field, _)) => Err(A::Error::custom(format!("{} is missing", field.name))),
            None => Ok(()),
        }
    }
}

/// A field's name: its place, if the schema knows it.
struct Name<'a>(&'a MessageType);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.by_name.get(name).copied())
    }
}

/// A field's value, or all values of a repeated one. Says whether there was one.
struct Value<'a> {
    context: Context<'a>,
    field: &'a Field,
    dst: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        if self.field.option == FieldOption::Repeated {
            return deserializer.deserialize_any(List(self));
        }
        let start = self.dst.len();
        write_tag(self.dst, self.field);
        let element = Element(Value {
            dst: &mut *self.dst,
            ..self
        });
        let written = element.deserialize(deserializer)?;
        if !written {
            self.dst.truncate(start);
        }
        Ok(written)
    }
}

struct List<'a>(Value<'a>);

impl<'de> Visitor<'de> for List<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array for {}", self.0.field.name)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        let Value { context, field, dst } = self.0;
        // The count stands in front of numbers, and is not known before they are read.
        let mut numbers = Vec::new();
        let mut count = 0_u64;
        loop {
            let dst = if field.kind.is_number() {
                &mut numbers
            } else {
                &mut *dst
            };
            let start = dst.len();
            if !field.kind.is_number() {
                write_tag(dst, field);
            }
            let element = Element(Value {
                context,
                field,
                dst: &mut *dst,
            });
            match seq.next_element_seed(element)? {
                Some(true) => count += 1,
                Some(false) => return Err(A::Error::custom(format!("null in {}", field.name))),
                None => {
                    dst.truncate(start);
                    break;
                }
            }
        }
        if field.kind.is_number() && count > 0 {
            write_tag(dst, field);
            write_varint(dst, count);
            dst.extend_from_slice(&numbers);
        }
        Ok(count > 0)
    }
}

/// One value without its tag. Says whether there was one: `null` is none.
struct Element<'a>(Value<'a>);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Element<'_> {
    fn number<E: serde::de::Error>(self, number: f64) -> Result<bool, E> {
        let cannot = || E::custom(format!("{} cannot hold {number}", self.0.field.name));
        // JavaScript's parseInt cuts towards zero; above 2^53 there are no whole numbers to be sure of.
        let whole = || Some(number.trunc()).filter(|whole| whole.abs() < 9_007_199_254_740_992.0);
        match self.0.field.kind {
            FieldKind::UInt32 => {
                let whole = whole().filter(|&whole| whole >= 0.0).ok_or_else(cannot)?;
                write_varint(self.0.dst, whole as u64);
            }
            FieldKind::SInt32 => {
                let whole = whole()
                    .filter(|whole| whole.abs() < 4_503_599_627_370_496.0)
                    .ok_or_else(cannot)?;
                let zigzag = if whole < 0.0 {
                    whole.abs() * 2.0 - 1.0
                } else {
                    whole * 2.0
                };
                write_varint(self.0.dst, zigzag as u64);
            }
            FieldKind::Float => self.0.dst.extend_from_slice(&(number as f32).to_le_bytes()),
            FieldKind::Double => self.0.dst.extend_from_slice(&number.to_le_bytes()),
            FieldKind::String | FieldKind::Message(_) => return Err(cannot()),
        }
        Ok(true)
    }

    fn string(self, text: &str) {
        if self.0.context.astral == Astral::Surrogates && text.bytes().any(|byte| byte >= 0xf0) {
            let mut cesu = Vec::with_capacity(text.len() + 16);
            encode_cesu8(text, &mut cesu);
            return write_bytes(self.0.dst, &cesu);
        }
        write_bytes(self.0.dst, text.as_bytes());
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for {}", self.0.field.name)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<bool, E> {
        if self.0.field.kind != FieldKind::String {
            return Err(E::custom(format!("{} cannot hold {value}", self.0.field.name)));
        }
        self.string(if value { "true" } else { "false" });
        Ok(true)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<bool, E> {
        if self.0.field.kind == FieldKind::String {
            self.string(&value.to_string());
            return Ok(true);
        }
        self.number(value as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<bool, E> {
        if self.0.field.kind == FieldKind::String {
            self.string(&value.to_string());
            return Ok(true);
        }
        self.number(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<bool, E> {
        if self.0.field.kind == FieldKind::String {
            self.string(&value.to_string());
            return Ok(true);
        }
        self.number(value)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<bool, E> {
        if self.0.field.kind == FieldKind::String {
            self.string(text);
            return Ok(true);
        }
        // Rust would read "inf" and "nan" as numbers.
        let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
        let number = number.ok_or_else(|| E::custom(format!("{} is no number", self.0.field.name)))?;
        self.number(number)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        let FieldKind::Message(place) = self.0.field.kind else {
            return Err(A::Error::custom(format!(
                "{} cannot hold an object",
                self.0.field.name
            )));
        };
        let Context { schema, depth, .. } = self.0.context;
        if depth >= MAX_DEPTH {
            return Err(A::Error::custom(format!(
                "nested deeper than {MAX_DEPTH} messages"
            )));
        }
        let message = schema.at(place).map_err(A::Error::custom)?;
        // Its length stands in front and is not known before it is written.
        let mut inner = Vec::new();
        let message = Message {
            context: Context {
                depth: depth + 1,
                ..self.0.context
            },
            message,
            dst: &mut inner,
        };
        message.visit_map(map)?;
        write_bytes(self.0.dst, &inner);
        Ok(true)
    }
}

fn write_tag(dst: &mut Vec<u8>, field: &Field) {
    write_varint(dst, u64::from(field.tag << 3 | field.kind.wire_type()));
}

fn write_bytes(dst: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(dst, bytes.len() as u64);
    dst.extend_from_slice(bytes);
}

fn write_varint(dst: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        dst.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    dst.push(value as u8);
}
