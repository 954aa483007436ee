//! From packages to what they mean to a client, with the tables of the handshake applied.

use bytes::Bytes;
use pomelo_protocol::{Message, MessageKind, MessageRoute, Package, PackageKind, Protos};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};

/// What a client hears, in order of arrival. Bodies are JSON; one that is no JSON is its text.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The answer to the handshake.
    Handshake(Value),
    /// A heartbeat.
    Heartbeat,
    /// The answer to a request.
    Response(u64, Value),
    /// The server's own word: route and body.
    Push(String, Value),
    /// The good-bye before a close.
    Kick(Value),
    /// The end, with the WebSocket close code.
    Closed(Option<u16>),
}

/// What it takes to read packages: the dictionary and the schemas that the handshake handed out, and which request
/// asked for which route.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    /// Codes by route.
    pub dictionary: HashMap<String, u16>,
    /// The schemas.
    pub protos: Option<Arc<Protos>>,
    /// The routes of the requests that were sent.
    pub asked: HashMap<u64, String>,
}

impl Decoder {
    /// What a package means.
    pub fn decode(&self, package: Package) -> Event {
        match package.kind {
            PackageKind::Handshake => Event::Handshake(json(&package.body)),
            PackageKind::Heartbeat => Event::Heartbeat,
            PackageKind::Kick => Event::Kick(json(&package.body)),
            PackageKind::Data => self.message(package.body),
            PackageKind::HandshakeAck => panic!("a server sends no ack"),
        }
    }

    /// Takes over the dictionary of a handshake's answer, if there is one in it.
    pub fn learn(&mut self, sys: &Value) {
        if let Some(codes) = sys["routeToCode"].as_object() {
            let code = |code: &Value| code.as_u64().and_then(|code| u16::try_from(code).ok());
            let pairs = codes
                .iter()
                .map(|(route, number)| (route.clone(), code(number).expect("a code")));
            self.dictionary = pairs.collect();
        }
    }

    /// The route of a code.
    pub fn route(&self, code: u16) -> Option<String> {
        let (route, _) = self.dictionary.iter().find(|(_, known)| **known == code)?;
        Some(route.clone())
    }

    fn message(&self, bytes: Bytes) -> Event {
        let message = Message::decode(bytes).expect("the server's messages can be read");
        match message.kind {
            MessageKind::Response => {
                let route = self.asked.get(&message.id).map_or("", String::as_str);
                Event::Response(message.id, self.body(route, &message.body))
            }
            MessageKind::Push => {
                let route = match &message.route {
                    MessageRoute::Name(name) => name.as_str().to_owned(),
                    MessageRoute::Code(code) => self.route(*code).expect("a code of the dictionary"),
                    MessageRoute::None => panic!("a push has a route"),
                };
                let body = self.body(&route, &message.body);
                Event::Push(route, body)
            }
            kind => panic!("a server sends no {kind:?}"),
        }
    }

    fn body(&self, route: &str, body: &[u8]) -> Value {
        match self.protos.as_ref().filter(|protos| protos.server.has(route)) {
            // A message that did not fit its schema is sent empty.
            Some(protos) if !body.is_empty() => {
                let decoded = protos.server.decode(route, body).expect("it fits the schema");
                json(&decoded)
            }
            _ => json(body),
        }
    }
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into())
}
