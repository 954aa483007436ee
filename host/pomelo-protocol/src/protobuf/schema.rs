//! Schemas: from Pomelo's JSON grammar to messages, fields and tags.

use crate::Error;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{collections::HashMap, fmt};

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
        let file: Entries<'_> = serde_json::from_str(text)
            .map_err(|error| Error::Schema(format!("not an object of messages: {error}")))?;
        let mut parser = Parser {
            messages: Vec::new(),
            shared: HashMap::new(),
        };
        let mut parsed = Vec::new();
        for (name, _) in &file.0 {
            parser.messages.push(MessageType::default());
            if let Some(shared) = name.strip_prefix("message ") {
                parser.shared.insert(shared.to_owned(), parser.messages.len() - 1);
            }
        }
        let mut routes = HashMap::new();
        for (place, (name, definition)) in file.0.iter().enumerate() {
            parsed.push((name.as_str(), parser.message(place, name, definition, &[])?));
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

struct Parser {
    messages: Vec<MessageType>,
    /// `"message Name"` at the top level: known to all routes.
    shared: HashMap<String, usize>,
}

/// Messages that are defined inside others, innermost last.
type Scope<'a> = &'a [HashMap<String, usize>];

impl Parser {
    /// Fills in a message; returns it as clients want it.
    fn message(
        &mut self,
        place: usize,
        path: &str,
        text: &RawValue,
        scope: Scope<'_>,
    ) -> Result<String, Error> {
        let wrong = |field: &str, why: &str| Error::Schema(format!("{path}: \"{field}\": {why}"));
        if scope.len() > 32 {
            return Err(wrong("message", "nested deeper than 32 messages"));
        }
        let entries: Entries<'_> = serde_json::from_str(text.get())
            .map_err(|_| Error::Schema(format!("{path}: not an object of fields")))?;
        let nested = entries
            .0
            .iter()
            .filter_map(|(name, body)| Some((name.strip_prefix("message ")?, *body)));
        let nested: Vec<(&str, &RawValue)> = nested.collect();
        let mut own = HashMap::new();
        for (name, _) in &nested {
            self.messages.push(MessageType::default());
            own.insert((*name).to_owned(), self.messages.len() - 1);
        }
        let inner = [scope, &[own]].concat();
        let mut parsed_nested = Vec::new();
        for (name, body) in nested {
            let place = inner
                .last()
                .and_then(|own| own.get(name))
                .copied()
                .unwrap_or_default();
            parsed_nested.push((
                name,
                self.message(place, &format!("{path}.{name}"), body, &inner)?,
            ));
        }
        let mut message = MessageType::default();
        let mut parsed = Vec::new();
        for (definition, tag) in entries.0.iter().filter(|(name, _)| !name.starts_with("message ")) {
            let words: Vec<&str> = definition.split(' ').collect();
            let [option, kind, name] = words[..] else {
                return Err(wrong(
                    definition,
                    "a field is \"required|optional|repeated type name\": tag",
                ));
            };
            let tag: u32 = serde_json::from_str(tag.get())
                .ok()
                .filter(|tag| (1..1 << 29).contains(tag))
                .ok_or_else(|| wrong(definition, "its tag has to be a whole number from 1"))?;
            let field = Field {
                name: name.to_owned(),
                option: option_of(option)
                    .ok_or_else(|| wrong(definition, "required, optional or repeated?"))?,
                kind: self
                    .kind(kind, &inner)
                    .ok_or_else(|| wrong(definition, &format!("no type {kind}")))?,
                tag,
            };
            let next = message.fields.len();
            if message.by_tag.insert(tag, next).is_some() {
                return Err(wrong(definition, &format!("the tag {tag} is taken")));
            }
            if message.by_name.insert(field.name.clone(), next).is_some() {
                return Err(wrong(definition, "there is a field of this name already"));
            }
            let quoted = |text: &str| serde_json::Value::from(text).to_string();
            parsed.push((
                name,
                format!(
                    "{{\"option\":{},\"type\":{},\"tag\":{tag}}}",
                    quoted(option),
                    quoted(kind)
                ),
            ));
            message.fields.push(field);
        }
        let mut tags: Vec<&Field> = message.fields.iter().collect();
        tags.sort_by_key(|field| field.tag);
        let quoted = |field: &&Field| serde_json::Value::from(field.name.as_str()).to_string();
        let tags: Vec<String> = tags
            .iter()
            .map(|field| format!("\"{}\":{}", field.tag, quoted(field)))
            .collect();
        parsed.push(("__messages", object(&parsed_nested)));
        parsed.push(("__tags", format!("{{{}}}", tags.join(","))));
        if let Some(place) = self.messages.get_mut(place) {
            *place = message;
        }
        Ok(object(&parsed))
    }

    fn kind(&self, name: &str, scope: Scope<'_>) -> Option<FieldKind> {
        Some(match name {
            "uInt32" => FieldKind::UInt32,
            "int32" | "sInt32" => FieldKind::SInt32,
            "float" => FieldKind::Float,
            "double" => FieldKind::Double,
            "string" => FieldKind::String,
            // The original looks in the message itself and at the top level; in between cannot do harm.
            name => scope
                .iter()
                .rev()
                .find_map(|messages| messages.get(name))
                .or_else(|| self.shared.get(name))
                .map(|place| FieldKind::Message(*place))?,
        })
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

fn object(entries: &[(&str, String)]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|(key, value)| format!("{}:{value}", serde_json::Value::from(*key)))
        .collect();
    format!("{{{}}}", entries.join(","))
}

/// An object's entries in the order of the text: the order is part of the version.
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
