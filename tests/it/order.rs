//! Everybody gets exactly what was said to him, in the order in which it was said, whatever is said to others in between
//! and however much of it leaves in one write.

use chathost_tests::{Client, Cluster, Event, Hello, Setup, Transport, within};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// Says what it is asked to, numbers it, and remembers to whom it was said.
const CHAT: &str = r#"
local labHandler = {}
local said, channels = {}, app.channelService

function labHandler.say(msg, session)
  for _, to in ipairs(msg.to) do
    if to.room then
      local room = channels:getChannel(to.room, true)
      if to.join then
        room:add(to.join, "connector-1")
      elseif to.leave then
        room:leave(to.leave, "connector-1")
      else
        table.insert(said, room:getMembers())
        room:pushMessage(to.route, { n = #said })
      end
    else
      table.insert(said, { to.uid })
      channels:pushMessageByUids(to.route, { n = #said }, { { uid = to.uid, sid = "connector-1" } })
    end
  end
  return { n = #said }
end

function labHandler.said(msg, session)
  return { said = said }
end

return { labHandler = labHandler }
"#;

const CONNECTOR: &str = r#"
local entryHandler = {}
function entryHandler.enter(msg, session)
  session:bind(msg.uid)
  return {}
end
return { entryHandler = entryHandler }
"#;

const USERS: usize = 24;
const REQUESTS: usize = 60;

/// Numbers that are the same in each run (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn uid(&mut self) -> String {
        format!("user{}", self.below(USERS))
    }

    /// What one request says: mostly to a room, sometimes to somebody, and now and then somebody comes or goes.
    fn request(&mut self) -> Value {
        let one = |dice: &mut Self| {
            let room = ["all", "all", "half", "few"][dice.below(4)];
            let route = ["onSaid", "onSaid", "onNewest"][dice.below(3)];
            match dice.below(20) {
                0..=2 => json!({ "uid": dice.uid(), "route": "onSaid" }),
                3 if room != "all" => json!({ "room": room, "join": dice.uid() }),
                4 if room != "all" => json!({ "room": room, "leave": dice.uid() }),
                _ => json!({ "room": room, "route": route }),
            }
        };
        let to: Vec<_> = (0..=self.below(3)).map(|_| one(self)).collect();
        json!({ "to": to })
    }
}

async fn enter(cluster: &Cluster, user: usize) -> Client {
    // Two forms of the wire, each with members in all rooms.
    let transport = if user.is_multiple_of(3) {
        Transport::Tcp
    } else {
        Transport::WebSocket
    };
    let mut client = cluster
        .client_with("connector-1", transport, &Hello::default())
        .await;
    let uid = format!("user{user}");
    client
        .request("connector.entryHandler.enter", json!({ "uid": uid }))
        .await;
    let rooms = ["all", "half", "few"].into_iter().take(match user {
        0..5 => 3,
        5..12 => 2,
        _ => 1,
    });
    let joins: Vec<_> = rooms.map(|room| json!({ "room": room, "join": uid })).collect();
    client
        .request("chat.labHandler.say", json!({ "to": joins }))
        .await;
    client
}

/// Asks for everything without waiting for answers, so that a turn has a lot of it; every third client says nothing.
async fn talk(client: &mut Client, user: usize) {
    if user.is_multiple_of(3) {
        return;
    }
    let mut dice = Dice(user as u64);
    for id in 0..REQUESTS {
        client
            .ask_as(1000 + id as u64, "chat.labHandler.say", dice.request())
            .await;
    }
}

#[tokio::test]
async fn each_gets_his_own_in_order() {
    let limits = json!({
        "messagesPerSecond": 100_000, "burst": 100_000, "requestsInFlight": 10_000, "outboxBytes": 10_000_000,
        "latestRoutes": ["onNewest"],
    });
    let cluster = Setup::connector(CONNECTOR)
        .servers("chat", 1)
        .script("chat.lua", CHAT)
        .settings(&json!({ "all": { "limits": limits } }))
        .start()
        .await;
    let mut clients = join_all((0..USERS).map(|user| enter(&cluster, user))).await;
    join_all(
        clients
            .iter_mut()
            .enumerate()
            .map(|(user, client)| talk(client, user)),
    )
    .await;

    // A client's own answers came when all it asked for was said; the last of them when all was.
    let mut heard: Vec<Vec<Event>> = Vec::new();
    for (user, client) in clients.iter_mut().enumerate() {
        let mut answers = if user.is_multiple_of(3) { 0 } else { REQUESTS };
        let mut events = Vec::new();
        within("all answers", async {
            while answers > 0 {
                let event = client.next().await;
                assert!(!matches!(event, Event::Closed(_)), "user{user} after {events:?}");
                answers -= usize::from(matches!(event, Event::Response(..)));
                events.push(event);
            }
        })
        .await;
        heard.push(events);
    }
    let answer = clients[0].request("chat.labHandler.said", json!({})).await;
    let said: Vec<Vec<String>> = serde_json::from_value(answer["said"].clone()).unwrap();
    assert!(said.len() > USERS * REQUESTS / 2, "{}", said.len());

    for (user, client) in clients.iter_mut().enumerate() {
        // What comes before an answer has come with it.
        client.request("chat.labHandler.say", json!({ "to": [] })).await;
        let mut events = std::mem::take(&mut heard[user]);
        events.extend(client.unasked());
        let uid = format!("user{user}");
        let mut last = 0;
        let mut pushed = Vec::new();
        for event in events {
            let (body, is_push) = match event {
                Event::Push(_, body) => (body, true),
                Event::Response(_, body) => (body, false),
                other => panic!("{uid} got {other:?}"),
            };
            let n = body["n"].as_u64().unwrap();
            assert!(n >= last, "{uid} got {n} after {last}");
            last = n;
            if is_push {
                pushed.push(n as usize);
            }
        }
        let expected: Vec<_> = (1..=said.len()).filter(|n| said[n - 1].contains(&uid)).collect();
        assert_eq!(pushed, expected, "{uid}");
    }
    cluster.stop().await;
}
