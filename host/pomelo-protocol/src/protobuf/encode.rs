//! JSON text to protobuf bytes, field by field as they come.

use super::schema::{Field, FieldKind, FieldOption, MessageType, Schema};
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
    /// Text that is not JSON, a required field that is missing, or a value that its field cannot hold.
    pub fn encode(&self, route: &str, json: &[u8], astral: Astral) -> Result<Vec<u8>, Error> {
        let mut dst = Vec::with_capacity(json.len());
        let message = Message {
            schema: self,
            message: self.message(route)?,
            astral,
            dst: &mut dst,
        };
        let mut text = serde_json::Deserializer::from_slice(json);
        message
            .deserialize(&mut text)
            .map_err(|error| Error::Protobuf(error.to_string()))?;
        text.end().map_err(|error| Error::Protobuf(error.to_string()))?;
        Ok(dst)
    }
}

struct Message<'a> {
    schema: &'a Schema,
    message: &'a MessageType,
    astral: Astral,
    dst: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut missing = self
            .message
            .fields
            .iter()
            .filter(|field| field.option == FieldOption::Required)
            .count();
        while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            let Some(&place) = self.message.by_name.get(&*name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let field = &self.message.fields[place];
            let value = Value {
                schema: self.schema,
                field,
                astral: self.astral,
                dst: self.dst,
            };
            let written = map.next_value_seed(value)?;
            match field.option {
                FieldOption::Required if written => missing = missing.saturating_sub(1),
                FieldOption::Required => return Err(A::Error::custom(format!("{} is null", field.name))),
                FieldOption::Optional | FieldOption::Repeated => {}
            }
        }
        if missing > 0 {
            return Err(A::Error::custom("a required field is missing"));
        }
        Ok(())
    }
}

/// A field's value, or all values of a repeated one. Says whether there was one.
struct Value<'a> {
    schema: &'a Schema,
    field: &'a Field,
    astral: Astral,
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
        let element = Element {
            schema: self.schema,
            field: self.field,
            astral: self.astral,
            dst: self.dst,
        };
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
        let Value {
            schema,
            field,
            astral,
            dst,
        } = self.0;
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
            match seq.next_element_seed(Element {
                schema,
                field,
                astral,
                dst,
            })? {
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
struct Element<'a> {
    schema: &'a Schema,
    field: &'a Field,
    astral: Astral,
    dst: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Element<'_> {
    fn number<E: serde::de::Error>(self, number: f64) -> Result<bool, E> {
        let cannot = || E::custom(format!("{} cannot hold {number}", self.field.name));
        // JavaScript's parseInt cuts towards zero; above 2^53 there are no whole numbers to be sure of.
        let whole = || Some(number.trunc()).filter(|whole| whole.abs() < 9_007_199_254_740_992.0);
        match self.field.kind {
            FieldKind::UInt32 => {
                let whole = whole().filter(|&whole| whole >= 0.0).ok_or_else(cannot)?;
                write_varint(self.dst, whole as u64);
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
                write_varint(self.dst, zigzag as u64);
            }
            FieldKind::Float => self.dst.extend_from_slice(&(number as f32).to_le_bytes()),
            FieldKind::Double => self.dst.extend_from_slice(&number.to_le_bytes()),
            FieldKind::String | FieldKind::Message(_) => return Err(cannot()),
        }
        Ok(true)
    }

    fn string(self, text: &str) {
        if self.astral == Astral::Surrogates && text.bytes().any(|byte| byte >= 0xf0) {
            let mut cesu = Vec::with_capacity(text.len() + 16);
            encode_cesu8(text, &mut cesu);
            return write_bytes(self.dst, &cesu);
        }
        write_bytes(self.dst, text.as_bytes());
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for {}", self.field.name)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<bool, E> {
        if self.field.kind != FieldKind::String {
            return Err(E::custom(format!("{} cannot hold {value}", self.field.name)));
        }
        self.string(if value { "true" } else { "false" });
        Ok(true)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<bool, E> {
        if self.field.kind == FieldKind::String {
            self.string(&value.to_string());
            return Ok(true);
        }
        self.number(value as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<bool, E> {
        if self.field.kind == FieldKind::String {
            self.string(&value.to_string());
            return Ok(true);
        }
        self.number(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<bool, E> {
        if self.field.kind == FieldKind::String {
            self.string(&value.to_string());
            return Ok(true);
        }
        self.number(value)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<bool, E> {
        if self.field.kind == FieldKind::String {
            self.string(text);
            return Ok(true);
        }
        let number = text
            .trim()
            .parse()
            .map_err(|_| E::custom(format!("{} is no number", self.field.name)))?;
        self.number(number)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        let FieldKind::Message(place) = self.field.kind else {
            return Err(A::Error::custom(format!(
                "{} cannot hold an object",
                self.field.name
            )));
        };
        // Its length stands in front and is not known before it is written.
        let mut inner = Vec::new();
        let message = self.schema.at(place).map_err(A::Error::custom)?;
        Message {
            schema: self.schema,
            message,
            astral: self.astral,
            dst: &mut inner,
        }
        .visit_map(map)?;
        write_bytes(self.dst, &inner);
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
