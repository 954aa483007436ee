//! A recorded conversation as steps to play, with what ours does differently already worked in.

use super::differences::{Change, DIFFERENCES};
use bytes::{Bytes, BytesMut};
use chathost_tests::{Decoder, Event};
use pomelo_protocol::{Message, MessageKind, MessageRoute, Package, PackageKind, Protos};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Conversations in which a recorded close is the client's own.
const CLIENT_CLOSES: [&str; 6] = [
    "gate session",
    "full chat session of two users",
    "enter twice on one connection",
    "enter again after leaving",
    "client closes right after entering",
    "dictionary and protobuf: session",
];

/// What happens next.
pub(super) enum Step {
    /// A client sends this; over WebSocket as one message, of text if `text`. `at`: since the beginning.
    Say {
        client: String,
        bytes: Vec<u8>,
        text: bool,
        at: Option<Duration>,
    },
    /// A client hears this.
    Hear { client: String, event: Event },
    /// A client closes its connection.
    Leave { client: String },
    /// A client's connection breaks.
    Break { client: String },
}

/// A conversation.
pub(super) struct Script {
    pub(super) steps: Vec<Step>,
    /// The requests of each client in the order in which they are sent: id, and whether another server answers.
    pub(super) asked: BTreeMap<String, Vec<(u64, bool)>>,
    /// The clients that end up being able to ask more.
    pub(super) acknowledged: Vec<String>,
}

impl Script {
    /// Reads a case. `port`: the connector's, which is not the recorded one.
    pub(super) fn read(case: &Value, protos: &Arc<Protos>, port: u16) -> Self {
        let name = case["name"].as_str().unwrap();
        let mut reader = Reader {
            changes: changes(name),
            client_closes: CLIENT_CLOSES.contains(&name),
            port,
            protos,
            decoders: BTreeMap::new(),
            stream: BytesMut::new(),
            script: Self {
                steps: Vec::new(),
                asked: BTreeMap::new(),
                acknowledged: Vec::new(),
            },
        };
        for line in case["log"].as_array().unwrap() {
            match line["from"].as_str() {
                Some("client") => reader.said(line),
                Some(_) => reader.heard(line),
                None => assert!(line["comment"].is_string()),
            }
        }
        reader.added();
        reader.script
    }
}

/// What is different in a case.
pub(super) fn changes(case: &str) -> Vec<&'static Change> {
    let own = DIFFERENCES.iter().filter(|difference| difference.case == case);
    own.flat_map(|difference| difference.ours).collect()
}

struct Reader<'a> {
    changes: Vec<&'static Change>,
    client_closes: bool,
    port: u16,
    protos: &'a Arc<Protos>,
    decoders: BTreeMap<String, Decoder>,
    /// What the one client over TCP has sent of a package that is not whole.
    stream: BytesMut,
    script: Script,
}

impl Reader<'_> {
    fn said(&mut self, line: &Value) {
        let (client, bytes) = (client(line), bytes(line));
        for package in self.packages(&client, &bytes) {
            match package.kind {
                PackageKind::HandshakeAck => self.script.acknowledged.push(client.clone()),
                PackageKind::Data => self.asked(&client, package.body),
                _ => {}
            }
        }
        self.script.steps.push(Step::Say {
            client,
            bytes,
            text: line["textFrame"] == true,
            at: line["at_s"].as_f64().map(Duration::from_secs_f64),
        });
    }

    /// The packages that are whole with these bytes; some of what clients say is none.
    fn packages(&mut self, client: &str, bytes: &[u8]) -> Vec<Package> {
        if client == "tcp" {
            self.stream.extend_from_slice(bytes);
            let next = || Package::decode(&mut self.stream, usize::MAX).ok()?;
            return std::iter::from_fn(next).collect();
        }
        let mut frame = Bytes::copy_from_slice(bytes);
        std::iter::from_fn(|| Package::decode_frame(&mut frame, usize::MAX).ok()?).collect()
    }

    fn asked(&mut self, client: &str, body: Bytes) {
        let Ok(message) = Message::decode(body) else {
            return;
        };
        let decoder = self.decoders.entry(client.to_owned()).or_default();
        let route = match &message.route {
            MessageRoute::Name(name) => name.as_str().to_owned(),
            MessageRoute::Code(code) => decoder.route(*code).unwrap_or_default(),
            MessageRoute::None => String::new(),
        };
        if message.kind == MessageKind::Request {
            let forwarded = route.starts_with("chat.");
            let asked = self.script.asked.entry(client.to_owned()).or_default();
            asked.push((message.id, forwarded));
            decoder.asked.insert(message.id, route);
        }
    }

    fn heard(&mut self, line: &Value) {
        let client = client(line);
        if let Some(closed) = line.get("closed") {
            let code = closed["code"].as_u64().map(|code| u16::try_from(code).unwrap());
            return self.closed(client, code);
        }
        let mut frame = Bytes::from(bytes(line));
        while let Some(package) = Package::decode_frame(&mut frame, usize::MAX).unwrap() {
            let decoder = self.decoders.entry(client.clone()).or_default();
            let mut event = decoder.decode(package);
            match &mut event {
                Event::Handshake(answer) => {
                    decoder.learn(&answer["sys"]);
                    decoder.protos = (answer["sys"]["useProto"] == true).then(|| self.protos.clone());
                }
                Event::Response(_, body) if body["port"] == 3050 => body["port"] = json!(self.port),
                _ => {}
            }
            if !self.is_changed(&client, &event) {
                self.script.steps.push(Step::Hear {
                    client: client.clone(),
                    event,
                });
            }
        }
    }

    fn closed(&mut self, client: String, code: Option<u16>) {
        let stays = |change: &&Change| matches!(change, Change::Stays(who) if *who == client);
        if code == Some(1006) {
            self.script.steps.push(Step::Break { client });
        } else if self.client_closes {
            self.script.steps.push(Step::Leave { client });
        } else if !self.changes.iter().any(stays) {
            let event = Event::Closed(code);
            self.script.steps.push(Step::Hear { client, event });
        }
    }

    /// Whether the original did this and ours does not.
    fn is_changed(&self, client: &str, event: &Event) -> bool {
        self.changes.iter().any(|change| match (change, event) {
            (Change::Answers(who, id, _), Event::Response(of, _)) => *who == client && id == of,
            (Change::PushesNot(who, route, body), Event::Push(of, is)) => {
                *who == client && route == of && parsed(body) == *is
            }
            _ => false,
        })
    }

    /// What ours does and the original did not.
    fn added(&mut self) {
        for change in &self.changes {
            let (client, event) = match change {
                Change::Answers(client, id, body) => (client, Event::Response(*id, parsed(body))),
                Change::Pushes(client, route, body) => {
                    (client, Event::Push((*route).to_owned(), parsed(body)))
                }
                Change::Beats(client) => (client, Event::Heartbeat),
                Change::PushesNot(..) | Change::Stays(_) | Change::MayAnswer(..) | Change::AnswersText(_) => {
                    continue;
                }
            };
            self.script.steps.push(Step::Hear {
                client: (*client).to_owned(),
                event,
            });
        }
    }
}

fn client(line: &Value) -> String {
    line["client"].as_str().unwrap().to_owned()
}

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

fn bytes(line: &Value) -> Vec<u8> {
    let hex = line["hex"].as_str().unwrap();
    (0..hex.len())
        .step_by(2)
        .map(|place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap())
        .collect()
}
