//! Schemas: from Pomelo's JSON grammar to messages, fields and tags.
//!
//! The original skips what it does not understand, and the field is then missing without a word. Here it is an error
//! that names the message, the field and the cause, because an operator reads it at start-up. Nothing here touches a
//! message: that is done by `encode` and `decode`.

use super::MAX_DEPTH;
use crate::Error;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{
    collections::{HashMap, HashSet},
    fmt,
};

/// The messages of one direction, by route.
#[derive(Debug, Default)]
pub struct Schema {
    pub(super) messages: Vec<MessageType>,
    routes: HashMap<String, usize>,
    json: String,
}

/// Fields of one message.
#[derive(Debug, Default)]
pub(super) struct MessageType {
    pub(super) fields: Vec<Field>,
    pub(super) by_name: HashMap<String, usize>,
    pub(super) by_tag: HashMap<u32, usize>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) option: FieldOption,
    pub(super) kind: FieldKind,
    pub(super) tag: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldOption {
    Required,
    Optional,
    Repeated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    UInt32,
    /// `int32` and `sInt32` are the same on the wire.
    SInt32,
    Float,
    Double,
    String,
    /// The message's place in the schema.
    Message(usize),
}

impl FieldKind {
    /// Protocol buffers' wire type.
    pub(super) fn wire_type(self) -> u32 {
        match self {
            Self::UInt32 | Self::SInt32 => 0,
            Self::Double => 1,
            Self::String | Self::Message(_) => 2,
            Self::Float => 5,
        }
    }

    pub(super) fn is_number(self) -> bool {
        self.wire_type() != 2
    }
}

impl Schema {
    /// Reads a protos file.
    ///
    /// # Errors
    /// Where it is not the grammar, with message and field.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Self::parse("{}");
        }
        let file =
            entries(text).map_err(|cause| Error::Schema(format!("not an object of messages: {cause}")))?;
        let mut parser = Parser::default();
        for (place, (name, _)) in file.iter().enumerate() {
            parser.messages.push(MessageType::default());
            if let Some(shared) = name.strip_prefix("message ") {
                parser.shared.insert(shared.to_owned(), place);
            }
        }
        let mut parsed = Vec::new();
        let mut routes = HashMap::new();
        for (place, (name, definition)) in file.iter().enumerate() {
            parsed.push((name.as_str(), parser.message(place, name, definition, 0)?));
            routes.insert(name.clone(), place);
        }
        Ok(Self {
            messages: parser.messages,
            routes,
            json: object(&parsed),
        })
    }

    /// Whether messages of this route are protobuf.
    pub fn has(&self, route: &str) -> bool {
        self.routes.contains_key(route)
    }

    /// The schema as clients want it: parsed.
    pub fn json(&self) -> &str {
        &self.json
    }

    pub(super) fn message(&self, route: &str) -> Result<&MessageType, Error> {
        let place = self
            .routes
            .get(route)
            .ok_or_else(|| Error::Protobuf(format!("{route} has no schema")))?;
        self.at(*place)
    }

    pub(super) fn at(&self, place: usize) -> Result<&MessageType, Error> {
        self.messages
            .get(place)
            .ok_or_else(|| Error::Protobuf("a message that is not in the schema".to_owned()))
    }
}

#[derive(Default)]
struct Parser {
    messages: Vec<MessageType>,
    /// `"message Name"` at the top level: known to all routes.
    shared: HashMap<String, usize>,
}

impl Parser {
    /// Fills in a message; returns it as clients want it.
    fn message(&mut self, place: usize, path: &str, text: &RawValue, depth: usize) -> Result<String, Error> {
        let wrong = |cause: String| Error::Schema(format!("{path}: {cause}"));
        if depth > MAX_DEPTH {
            return Err(wrong(format!("nested deeper than {MAX_DEPTH} messages")));
        }
        let entries =
            entries(text.get()).map_err(|cause| wrong(format!("not an object of fields: {cause}")))?;
        let (nested, fields): (Vec<_>, Vec<_>) = entries
            .iter()
            .map(|(name, body)| (name.as_str(), *body))
            .partition(|(name, _)| name.starts_with("message "));
        let mut own = HashMap::new();
        let mut parsed_nested = Vec::new();
        for (definition, body) in nested {
            let name = definition.strip_prefix("message ").unwrap_or_default();
            if name.is_empty() || name.contains(' ') {
                return Err(wrong(format!("\"{definition}\": a message has one name")));
            }
            let place = self.messages.len();
            self.messages.push(MessageType::default());
            own.insert(name, place);
            let path = format!("{path}.{name}");
            parsed_nested.push((name, self.message(place, &path, body, depth + 1)?));
        }
        let mut message = MessageType::default();
        let mut parsed = Vec::new();
        for (definition, tag) in fields {
            let wrong = |cause: String| wrong(format!("\"{definition}\": {cause}"));
            let (field, json) = self.field(definition, tag, &own).map_err(wrong)?;
            parsed.push((field.name.clone(), json));
            message.add(field).map_err(wrong)?;
        }
        parsed.push(("__messages".to_owned(), object(&parsed_nested)));
        parsed.push(("__tags".to_owned(), message.tags()));
        if let Some(place) = self.messages.get_mut(place) {
            *place = message;
        }
        Ok(object(&parsed))
    }

    /// A field, and how clients want it; or what is wrong with it.
    fn field(
        &self,
        definition: &str,
        tag: &RawValue,
        own: &HashMap<&str, usize>,
    ) -> Result<(Field, String), String> {
        let words: Vec<&str> = definition.split(' ').collect();
        let [option, kind, name] = words[..] else {
            return Err("a field is \"required|optional|repeated type name\": tag".to_owned());
        };
        // Clients keep their own tables under these two.
        if matches!(name, "" | "__messages" | "__tags") {
            return Err(format!("a field cannot be called \"{name}\""));
        }
        let tag: u32 = serde_json::from_str(tag.get())
            .ok()
            .filter(|tag| (1..1 << 29).contains(tag))
            .ok_or("its tag has to be a whole number from 1")?;
        let json = format!(
            "{{\"option\":{},\"type\":{},\"tag\":{tag}}}",
            quoted(option),
            quoted(kind)
        );
        let field = Field {
            name: name.to_owned(),
            option: option_of(option).ok_or("required, optional or repeated?")?,
            kind: self.kind(kind, own).ok_or_else(|| format!("no type {kind}"))?,
            tag,
        };
        Ok((field, json))
    }

    /// Clients look in the message itself and at the top level, nowhere in between.
    fn kind(&self, name: &str, own: &HashMap<&str, usize>) -> Option<FieldKind> {
        Some(match name {
            "uInt32" => FieldKind::UInt32,
            "int32" | "sInt32" => FieldKind::SInt32,
            "float" => FieldKind::Float,
            "double" => FieldKind::Double,
            "string" => FieldKind::String,
            name => FieldKind::Message(*own.get(name).or_else(|| self.shared.get(name))?),
        })
    }
}

impl MessageType {
    fn add(&mut self, field: Field) -> Result<(), String> {
        let place = self.fields.len();
        if self.by_tag.insert(field.tag, place).is_some() {
            return Err(format!("the tag {} is taken", field.tag));
        }
        if self.by_name.insert(field.name.clone(), place).is_some() {
            return Err("there is a field of this name already".to_owned());
        }
        self.fields.push(field);
        Ok(())
    }

    /// Names by tag, in the order of the tags, as JavaScript keeps keys that are numbers.
    fn tags(&self) -> String {
        let mut fields: Vec<&Field> = self.fields.iter().collect();
        fields.sort_by_key(|field| field.tag);
        let tags: Vec<_> = fields
            .iter()
            .map(|field| (field.tag.to_string(), quoted(&field.name)))
            .collect();
        object(&tags)
    }
}

fn option_of(name: &str) -> Option<FieldOption> {
    Some(match name {
        "required" => FieldOption::Required,
        "optional" => FieldOption::Optional,
        "repeated" => FieldOption::Repeated,
        _ => return None,
    })
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn object(entries: &[(impl AsRef<str>, String)]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|(key, value)| format!("{}:{value}", quoted(key.as_ref())))
        .collect();
    format!("{{{}}}", entries.join(","))
}

/// An object's entries in the order of the text, which is part of the version; each key once.
fn entries(text: &str) -> Result<Vec<(String, &RawValue)>, String> {
    let Entries(entries) = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut keys = HashSet::new();
    match entries.iter().find(|(key, _)| !keys.insert(key.as_str())) {
        Some((key, _)) => Err(format!("\"{key}\" stands there twice")),
        None => Ok(entries),
    }
}

struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
