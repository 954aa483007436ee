//! One conversation, played again.
//!
//! What a client said is sent, what the server said is waited for, so that things that depend on each other keep their
//! order. At the end everything that came is compared, client by client and lane by lane ([`Lane`]): within a lane the
//! order is fixed, between lanes it is not, because the original's responses and pushes travel on different ways (see
//! the recorded meanings).

use super::{
    differences::Change,
    script::{Script, Step, changes},
};
use chathost_tests::{Client, Cluster, Event, Transport};
use serde_json::json;
use std::collections::BTreeMap;
use tokio::time::{Instant, sleep_until};

/// The ids of the questions asked at the end: when they are answered, everything else has come.
const FENCES: [(u64, &str); 2] = [
    (1 << 40, "connector.labHandler.echo"),
    ((1 << 40) + 1, "chat.chatHandler.fence"),
];

/// Plays a conversation, and compares.
pub(super) async fn replay(cluster: &Cluster, case: &str, script: Script) {
    let mut players: BTreeMap<String, Player> = BTreeMap::new();
    let began = Instant::now();
    for step in script.steps {
        match step {
            Step::Say {
                client,
                bytes,
                text,
                at,
            } => {
                if let Some(at) = at {
                    // Nothing is waited for: the client's pace is what these conversations are about.
                    sleep_until(began + at).await;
                }
                if !players.contains_key(&client) {
                    let server = if case == "gate session" {
                        "gate-1"
                    } else {
                        "connector-1"
                    };
                    let transport = match client.as_str() {
                        "tcp" => Transport::Tcp,
                        _ => Transport::WebSocket,
                    };
                    let connection = cluster.open(server, transport).await;
                    players.insert(client.clone(), Player::new(connection));
                }
                player(&mut players, &client).say(&bytes, text).await;
            }
            Step::Hear { client, event } => player(&mut players, &client).hear(event).await,
            Step::Leave { client } => player(&mut players, &client).leave().await,
            Step::Break { client } => {
                if let Some(client) = player(&mut players, &client).client.take() {
                    client.abort();
                }
            }
        }
    }
    // Nobody leaves before all have heard everything.
    for (name, player) in &mut players {
        if script.acknowledged.contains(name) {
            player.fence().await;
        }
    }
    for (name, player) in &players {
        let is_optional = |event: &&Event| {
            changes(case).iter().any(|change| {
                matches!(change, Change::MayAnswer(who, id) if who == name && is_response(event, *id))
            })
        };
        let asked = script.asked.get(name).map_or(&[][..], Vec::as_slice);
        for lane in [Lane::Control, Lane::Pushes, Lane::Own, Lane::Forwarded] {
            let of_lane = |events: &[Event]| -> Vec<Event> {
                let own = events.iter().filter(|event| Lane::of(event, asked) == lane);
                own.filter(|event| !is_optional(event)).cloned().collect()
            };
            let mut expected = of_lane(&player.expected);
            if matches!(lane, Lane::Own | Lane::Forwarded) {
                // One request of a session at a time, in the order in which they came.
                expected.sort_by_key(|event| asked.iter().position(|(id, _)| is_response(event, *id)));
            }
            assert_eq!(of_lane(&player.came), expected, "{case}, client {name}, {lane:?}");
        }
    }
}

/// Packages whose order among each other is fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// Handshake, heartbeat, kick, close.
    Control,
    Pushes,
    /// Responses that the frontend gives itself.
    Own,
    /// Responses of another server.
    Forwarded,
}

impl Lane {
    fn of(event: &Event, asked: &[(u64, bool)]) -> Self {
        match event {
            Event::Push(..) => Self::Pushes,
            Event::Response(id, _) if asked.contains(&(*id, true)) => Self::Forwarded,
            Event::Response(..) => Self::Own,
            Event::Handshake(_) | Event::Heartbeat | Event::Kick(_) | Event::Closed(_) => Self::Control,
        }
    }
}

fn is_response(event: &Event, id: u64) -> bool {
    matches!(event, Event::Response(of, _) if *of == id)
}

fn player<'a>(players: &'a mut BTreeMap<String, Player>, name: &str) -> &'a mut Player {
    players.get_mut(name).expect("a client speaks first")
}

/// A client of the conversation.
struct Player {
    /// `None` when it has left.
    client: Option<Client>,
    expected: Vec<Event>,
    /// What came, in the order of arrival.
    came: Vec<Event>,
}

impl Player {
    fn new(client: Client) -> Self {
        Self {
            client: Some(client),
            expected: Vec::new(),
            came: Vec::new(),
        }
    }

    async fn say(&mut self, bytes: &[u8], text: bool) {
        let Some(client) = &mut self.client else { return };
        if text {
            client
                .socket()
                .send_text(std::str::from_utf8(bytes).unwrap())
                .await;
        } else {
            client.send(bytes).await;
        }
    }

    /// Waits until it came, as often as it is expected.
    async fn hear(&mut self, event: Event) {
        let count = |events: &[Event]| events.iter().filter(|came| **came == event).count();
        let wanted = count(&self.expected) + 1;
        while count(&self.came) < wanted {
            let over = matches!(self.came.last(), Some(Event::Closed(_)));
            let Some(client) = self.client.as_mut().filter(|_| !over) else {
                panic!("no more comes, and not {event:?}; there was {:?}", self.came);
            };
            self.came.push(client.next().await);
        }
        self.expected.push(event);
    }

    async fn leave(&mut self) {
        if let Some(client) = self.client.take() {
            self.came.extend(client.close().await);
        }
    }

    /// Hears everything that is still on its way.
    async fn fence(&mut self) {
        let over = matches!(self.came.last(), Some(Event::Closed(_)));
        let Some(client) = self.client.as_mut().filter(|_| !over) else {
            return;
        };
        for (id, route) in FENCES {
            client.ask_as(id, route, json!({})).await;
            loop {
                match client.next().await {
                    event if is_response(&event, id) => break,
                    Event::Closed(code) => panic!("closed with {code:?}; there was {:?}", self.came),
                    event => self.came.push(event),
                }
            }
        }
    }
}
