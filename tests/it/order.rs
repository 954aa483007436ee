//! Everybody gets exactly what was said to him, in the order in which it was said, whatever is said to others in between
//! and however much of it leaves in one write.

use chathost_tests::{Client, Cluster, Event, Hello, Setup, Socket, Transport, within};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// Says what it is asked to, numbers it, and remembers to whom it was said.
const CHAT: &str = r#"
local labHandler = {}
local said, groups, channels = {}, {}, app.channelService

-- Few groups, many messages: each group is kept once, and its place noted for each message.
local function note(uids)
  local key = table.concat(uids, " ")
  groups[key] = groups[key] or table.insert(groups, uids) or #groups
  table.insert(said, groups[key])
end

function labHandler.say(msg, session)
  local text = string.rep("x", msg.bytes or 0)
  for _, to in ipairs(msg.to) do
    if to.room then
      local room = channels:getChannel(to.room, true)
      if to.join then
        room:add(to.join, "connector-1")
      elseif to.leave then
        room:leave(to.leave, "connector-1")
      else
        note(room:getMembers())
        room:pushMessage(to.route, { n = #said, text = text })
      end
    else
      note({ to.uid })
      channels:pushMessageByUids(to.route, { n = #said, text = text }, { { uid = to.uid, sid = "connector-1" } })
    end
  end
  return { n = #said }
end

function labHandler.said(msg, session)
  return { said = said, groups = table.move(groups, 1, #groups, 1, {}) }
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

/// `buffer`: bytes that the client's socket takes while nobody reads.
async fn enter(cluster: &Cluster, user: usize, buffer: Option<u32>) -> Client {
    // Two forms of the wire, each with members in all rooms.
    let transport = if user.is_multiple_of(3) {
        Transport::Tcp
    } else {
        Transport::WebSocket
    };
    let socket = Socket::open_with(cluster.address("connector-1"), transport, buffer).await;
    let mut client = Client::over(socket, cluster.protos().clone());
    client.log_in(&Hello::default()).await;
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

/// Some only listen.
fn talks(user: usize) -> bool {
    !user.is_multiple_of(4)
}

/// Asks for everything without waiting for answers, so that a turn has a lot of it.
async fn talk(client: &mut Client, user: usize) {
    if !talks(user) {
        return;
    }
    let mut dice = Dice(user as u64);
    for id in 0..REQUESTS {
        client
            .ask_as(1000 + id as u64, "chat.labHandler.say", dice.request())
            .await;
    }
}

/// With limits that nobody's talking meets.
async fn start(limits: Value) -> Cluster {
    let mut all = json!({ "messagesPerSecond": 100_000, "burst": 100_000, "requestsInFlight": 10_000 });
    let mut of = limits;
    all.as_object_mut().unwrap().append(of.as_object_mut().unwrap());
    Setup::connector(CONNECTOR)
        .servers("chat", 1)
        .script("chat.lua", CHAT)
        .settings(&json!({ "all": { "limits": all } }))
        .start()
        .await
}

/// To whom each was said; the first is number 1.
async fn said(client: &mut Client) -> Vec<Vec<String>> {
    let answer = client.request("chat.labHandler.said", json!({})).await;
    let group = |place: &Value| answer["groups"][place.as_u64().unwrap() as usize - 1].clone();
    let said = answer["said"].as_array().unwrap().iter();
    said.map(|place| serde_json::from_value(group(place)).unwrap())
        .collect()
}

#[tokio::test]
async fn each_gets_his_own_in_order() {
    let cluster = start(json!({ "outboxBytes": 10_000_000, "latestRoutes": ["onNewest"] })).await;
    let mut clients = join_all((0..USERS).map(|user| enter(&cluster, user, None))).await;
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
        let mut answers = if talks(user) { REQUESTS } else { 0 };
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
    let said = said(&mut clients[0]).await;
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
            // An answer comes after the last that was said for it, and before the next.
            let n = body["n"].as_u64().unwrap();
            assert!(n > last || n == last && !is_push, "{uid} got {n} after {last}");
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

/// What those get who do not read while much is said: with the outbox full they are closed, or miss the oldest.
async fn behind(policy: &str, outbox: usize) {
    let cluster = start(json!({ "outboxBytes": outbox, "outboxPolicy": policy })).await;
    let entering = (0..USERS).map(|user| enter(&cluster, user, Some(8 * 1024)));
    let mut clients = join_all(entering).await;
    let mut talker = cluster.client("connector-1").await;
    let mut dice = Dice(7);
    for id in 0..1500 {
        let to: Vec<_> = (0..5)
            .map(|_| match dice.below(30) {
                0 => json!({ "uid": dice.uid(), "route": "onSaid" }),
                1 => json!({ "room": "half", "route": "onSaid" }),
                _ => json!({ "room": "all", "route": "onSaid" }),
            })
            .collect();
        talker
            .ask_as(
                1000 + id,
                "chat.labHandler.say",
                json!({ "to": to, "bytes": 700 }),
            )
            .await;
    }
    for id in 0..1500 {
        talker.response(1000 + id).await;
    }
    // For those who are still there.
    let last = json!([{ "room": "all", "route": "onSaid" }]);
    talker.request("chat.labHandler.say", json!({ "to": last })).await;
    let said = said(&mut talker).await;

    for (user, client) in clients.iter_mut().enumerate() {
        let uid = format!("user{user}");
        let mut got = Vec::new();
        while got.last() != Some(&said.len()) {
            match client.next().await {
                Event::Push(_, body) => got.push(body["n"].as_u64().unwrap() as usize),
                Event::Closed(_) => break,
                other => panic!("{uid} got {other:?}"),
            }
        }
        let his: Vec<_> = (1..=said.len()).filter(|n| said[n - 1].contains(&uid)).collect();
        assert!(got.len() < his.len(), "{uid} was never behind");
        if policy == "disconnect" {
            assert_eq!(got, his[..got.len()], "{uid} misses something before the end");
        } else {
            assert!(got.is_sorted_by(|one, other| one < other), "{uid}: {got:?}");
            assert!(
                got.iter().all(|n| said[n - 1].contains(&uid)),
                "{uid} got others'"
            );
            assert_eq!(got.last(), his.last(), "{uid} misses the newest");
        }
    }
    cluster.stop().await;
}

#[tokio::test]
async fn who_is_behind_gets_all_until_the_close() {
    behind("disconnect", 600_000).await;
}

#[tokio::test]
async fn who_is_behind_gets_the_newest() {
    behind("drop-oldest", 100_000).await;
    behind("drop-oldest", 5_000).await;
}
