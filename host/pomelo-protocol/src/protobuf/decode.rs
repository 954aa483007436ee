//! Protobuf bytes to JSON text.
//!
//! Fields come in any order, and repeated messages one by one, so the JSON of each field is kept until the message is
//! over. The text is longer than the bytes by a bounded factor: every element costs at least one byte.

use super::{
    MAX_DEPTH,
    schema::{FieldKind, FieldOption, MessageType, Schema},
};
use crate::{Error, text::decode_text};
use std::io::Write as _;

impl Schema {
    /// The JSON of a message. A required field that is missing is missing in the JSON, as in the original.
    ///
    /// # Errors
    /// A tag that the schema does not know, or bytes that end too early.
    pub fn decode(&self, route: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut json = Vec::with_capacity(bytes.len() * 2);
        let mut input = Input { bytes };
        self.decode_message(self.message(route)?, &mut input, &mut json, 0)?;
        Ok(json)
    }

    fn decode_message(
        &self,
        message: &MessageType,
        input: &mut Input<'_>,
        json: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(Error::Protobuf(format!(
                "nested deeper than {MAX_DEPTH} messages"
            )));
        }
        // In the order of the first appearance, as JavaScript keeps an object's keys.
        let mut found: Vec<(usize, Vec<u8>)> = Vec::new();
        while !input.bytes.is_empty() {
            let head = input.varint()?;
            let place = u32::try_from(head >> 3)
                .ok()
                .and_then(|tag| message.by_tag.get(&tag));
            let &place =
                place.ok_or_else(|| Error::Protobuf(format!("the schema has no tag {}", head >> 3)))?;
            let field = &message.fields[place];
            let at = found
                .iter()
                .position(|(known, _)| *known == place)
                .unwrap_or_else(|| {
                    found.push((place, Vec::new()));
                    found.len() - 1
                });
            let value = &mut found[at].1;
            if field.option != FieldOption::Repeated {
                value.clear();
                self.decode_value(field.kind, input, value, depth)?;
                continue;
            }
            let count = if field.kind.is_number() {
                input.varint()?
            } else {
                1
            };
            for _ in 0..count {
                if !value.is_empty() {
                    value.push(b',');
                }
                self.decode_value(field.kind, input, value, depth)?;
            }
        }
        json.push(b'{');
        for (turn, (place, value)) in found.iter().enumerate() {
            let field = &message.fields[*place];
            if turn > 0 {
                json.push(b',');
            }
            write_string(json, &field.name);
            json.push(b':');
            let brackets: [&[u8]; 2] = if field.option == FieldOption::Repeated {
                [b"[", b"]"]
            } else {
                [b"", b""]
            };
            json.extend_from_slice(brackets[0]);
            json.extend_from_slice(value);
            json.extend_from_slice(brackets[1]);
        }
        json.push(b'}');
        Ok(())
    }

    fn decode_value(
        &self,
        kind: FieldKind,
        input: &mut Input<'_>,
        json: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Error> {
        match kind {
            FieldKind::UInt32 => {
                let value = input.varint()?;
                drop(write!(json, "{value}"));
            }
            FieldKind::SInt32 => {
                let zigzag = input.varint()?;
                let magnitude = zigzag.div_ceil(2);
                drop(write!(
                    json,
                    "{}{magnitude}",
                    if zigzag & 1 == 1 { "-" } else { "" }
                ));
            }
            FieldKind::Float => write_number(json, f64::from(f32::from_le_bytes(input.array()?))),
            FieldKind::Double => write_number(json, f64::from_le_bytes(input.array()?)),
            FieldKind::String => {
                let length = input.varint()?;
                write_string(json, &decode_text(input.take(length)?));
            }
            FieldKind::Message(place) => {
                let length = input.varint()?;
                let mut inner = Input {
                    bytes: input.take(length)?,
                };
                self.decode_message(self.at(place)?, &mut inner, json, depth + 1)?;
            }
        }
        Ok(())
    }
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (taken, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or(Error::Truncated("a protobuf message"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self
            .bytes
            .split_first_chunk()
            .ok_or(Error::Truncated("a protobuf message"))?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        // Seven bytes of seven bits: what a double holds without loss.
        for place in 0..8 {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::Protobuf("a number of more than eight bytes".to_owned()))
    }
}

fn write_number(json: &mut Vec<u8>, number: f64) {
    let text =
        serde_json::Number::from_f64(number).map_or_else(|| "null".to_owned(), |number| number.to_string());
    // JavaScript has one kind of number: `1`, not `1.0`.
    json.extend_from_slice(text.strip_suffix(".0").unwrap_or(&text).as_bytes());
}

fn write_string(json: &mut Vec<u8>, text: &str) {
    json.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}
