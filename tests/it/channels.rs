//! Channels: who is in them, whom a push reaches, and in which order it arrives.

use crate::steps::{raised, setup, step, steps};
use chathost_tests::{Client, Cluster, Event};
use serde_json::{Value, json};

/// Two frontends of a type, and clients on them bound to these uids; place 0 is on `connector-1`.
async fn bound(uids: &[(&str, &str)]) -> (Cluster, Vec<Client>) {
    let cluster = setup().servers("connector", 2).start().await;
    let mut clients = Vec::new();
    for (uid, frontend) in uids {
        let mut client = cluster.client(frontend).await;
        let outcome = step(&mut client, "connector", json!(["session", "bind", uid])).await;
        assert_eq!(outcome, json!([]));
        clients.push(client);
    }
    (cluster, clients)
}

/// Asks the chat server something: what was pushed before has arrived when the answer has.
async fn fence(client: &mut Client) {
    assert!(steps(client, "chat", json!([])).await.is_empty());
}

const C1: &str = "connector-1";
const C2: &str = "connector-2";

#[tokio::test]
async fn a_set_in_the_order_of_joining() {
    let (_cluster, mut clients) = bound(&[("alice", C1)]).await;
    let room = json!({ "channel": "room" });
    let done = steps(
        &mut clients[0],
        "chat",
        json!([
            [room, "add", "bob", C2],
            [room, "add", "alice", C1],
            [room, "add", "bob", C2],
            [room, "add", 42, C1],
            // Without a frontend nobody can be reached.
            [room, "add", "carol"],
            [room, "getMembers"],
            [room, "getUserAmount"],
            [room, "getMember", "bob"],
            [room, "getMember", "nobody"],
            [room, "leave", "bob", C1],
            [room, "leave", "bob", C2],
            [room, "leave", "bob", C2],
            [room, "leave", "nobody", C1],
            [room, "getMembers"],
        ]),
    )
    .await;
    let expected = [
        json!([true]),
        json!([true]),
        json!([true]),
        json!([true]),
        json!([false]),
        json!([["bob", "alice", "42"]]),
        json!([3]),
        json!([{ "uid": "bob", "sid": C2 }]),
        json!([null]),
        json!([false]),
        json!([true]),
        json!([false]),
        json!([false]),
        json!([["alice", "42"]]),
    ];
    assert_eq!(done, expected);
}

/// A name is one channel on its server, until it is destroyed or empty.
#[tokio::test]
async fn created_found_and_gone() {
    let (_cluster, mut clients) = bound(&[("alice", C1)]).await;
    let service = "channelService";
    let room = json!({ "channel": "room" });
    let done = steps(
        &mut clients[0],
        "chat",
        json!([
            [service, "getChannel", "room"],
            [service, "getChannel", "room", false],
            [service, "getChannel", "room", true],
            [room, "set", "topic", { "tea": ["green", null] }],
            [service, "createChannel", "room"],
            [room, "get", "topic"],
            [room, "get", "nothing"],
            [service, "destroyChannel", "room"],
            [service, "getChannel", "room"],
            [service, "destroyChannel", "room"],
            // A new one of the name knows nothing of the old one.
            [room, "get", "topic"],
            [room, "add", "alice", C1],
            [room, "set", "topic", "coffee"],
            [room, "leave", "alice", C1],
            [service, "getChannel", "room"],
            // A number is a name as well.
            [service, "createChannel", 7],
        ]),
    )
    .await;
    let (none, there) = (json!([null]), json!([{ "channel": "room" }]));
    let topic = json!([{ "tea": ["green", null] }]);
    assert_eq!(done[..3], [none.clone(), none.clone(), there.clone()]);
    assert_eq!(done[4..7], [there, topic, none.clone()]);
    assert_eq!(done[8], none);
    assert_eq!(done[10], none);
    assert_eq!(done[13..15], [json!([true]), none], "freed with its last member");
    assert_eq!(done[15], json!([{ "channel": "7" }]));
}

/// A channel is one value to its scripts for as long as it lives, and its successor is another.
#[tokio::test]
async fn one_value() {
    let script = r#"
        local labHandler = {}
        function labHandler.compare()
          local service = app.channelService
          local first = service:createChannel("room")
          local same = service:getChannel("room") == first and service:createChannel("room") == first
          local other = service:createChannel("other") == first
          first:destroy()
          local second = service:createChannel("room")
          -- More than are kept for ended channels.
          for number = 1, 300 do
            service:createChannel(number):destroy()
          end
          local kept = service:getChannel("room") == second and second:add("alice", "connector-1")
          return { same = same, other = other, successor = first == second, kept = kept, old = first:add("bob", "connector-1") }
        end
        return { labHandler = labHandler }"#;
    let cluster = chathost_tests::Setup::connector(script).start().await;
    let mut client = cluster.client(C1).await;
    let compared = client.request("connector.labHandler.compare", json!({})).await;
    let expected = json!({ "same": true, "other": false, "successor": false, "kept": true, "old": false });
    assert_eq!(compared, expected);
}

/// What a script holds of a channel that is destroyed is of no use, and says so.
#[tokio::test]
async fn destroyed() {
    let script = r#"
        local labHandler = {}
        function labHandler.run()
          local channel = app.channelService:createChannel("room")
          channel:add("alice", "connector-1")
          channel:destroy()
          local again = app.channelService:createChannel("room")
          again:add("bob", "connector-1")
          return {
            added = channel:add("carol", "connector-1"),
            members = channel:getMembers(),
            amount = channel:getUserAmount(),
            pushed = pcall(channel.pushMessage, channel, "onX", {}),
            acked = pcall(channel.pushMessage, channel, "onX", {}, { ack = true }),
            again = again:getMembers(),
          }
        end
        return { labHandler = labHandler }"#;
    let cluster = chathost_tests::Setup::connector(script).start().await;
    let mut client = cluster.client(C1).await;
    let answer = client.request("connector.labHandler.run", json!({})).await;
    let expected = json!({
        "added": false, "members": [], "amount": 0, "pushed": false, "acked": false, "again": ["bob"],
    });
    assert_eq!(answer, expected);
}

/// A user who is on two frontends, or twice on one, hears each push once per connection.
#[tokio::test]
async fn everybody_once() {
    let users = [
        ("alice", C1),
        ("bob", C2),
        ("alice", C2),
        ("bob", C2),
        ("carol", C1),
    ];
    let (_cluster, mut clients) = bound(&users).await;
    let room = json!({ "channel": "room" });
    let mut calls = vec![
        json!([room, "add", "alice", C1]),
        json!([room, "add", "alice", C1]),
    ];
    calls.push(json!([room, "add", "bob", C2]));
    calls.push(json!([room, "add", "alice", C2]));
    calls.push(json!([room, "getMembers"]));
    calls.push(json!([room, "pushMessage", "onX", { "n": 1 }]));
    // The route may be in the message.
    calls.push(json!([room, "pushMessage", { "route": "onX", "n": 2 }]));
    calls.push(json!([room, "pushMessage", "onX", { "n": 3 }, { "exclude": ["alice"] }]));
    let done = steps(&mut clients[0], "chat", Value::from(calls)).await;
    assert_eq!(
        done[4],
        json!([["alice", "bob"]]),
        "a uid is one member, wherever it is"
    );
    for (client, (uid, _)) in clients.iter_mut().zip(users) {
        fence(client).await;
        let numbers: Vec<Value> = client
            .unasked()
            .into_iter()
            .map(|event| match event {
                Event::Push(route, body) if route == "onX" => body["n"].clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected: &[i32] = match uid {
            "alice" => &[1, 2],
            "bob" => &[1, 2, 3],
            _ => &[],
        };
        assert_eq!(numbers, expected, "{uid}");
    }
}

#[tokio::test]
async fn by_uids() {
    let (_cluster, mut clients) = bound(&[("alice", C1), ("bob", C2)]).await;
    let service = "channelService";
    let users = json!([{ "uid": "alice", "sid": C1 }, { "uid": "bob", "sid": C2 }, { "uid": "carol" }]);
    let done = steps(
        &mut clients[0],
        "chat",
        json!([
            [service, "pushMessageByUids", "onX", { "n": 1 }, users],
            [service, "pushMessageByUids", { "route": "onX", "n": 2 }, users, { "exclude": ["bob"] }],
            [service, "pushMessageByUids", "onX", { "n": 3 }, []],
            [service, "pushMessageByUids", { "n": 4 }, users],
        ]),
    )
    .await;
    // Who has no frontend is known at once not to be reached.
    assert_eq!(done[..2], [json!([["carol"]]), json!([["carol"]])]);
    assert!(
        done[2]["error"]
            .as_str()
            .unwrap()
            .contains("uids should not be empty")
    );
    assert!(
        done[3]["error"]
            .as_str()
            .unwrap()
            .contains("a message without a route")
    );
    // A message with its route inside is sent as it is.
    let pushes =
        [json!({ "n": 1 }), json!({ "route": "onX", "n": 2 })].map(|body| Event::Push("onX".into(), body));
    for (client, expected) in clients.iter_mut().zip([&pushes[..], &pushes[..1]]) {
        fence(client).await;
        assert_eq!(client.unasked(), expected);
    }
}

/// Whoever asks for it is told whom a push did not reach.
#[tokio::test]
async fn acknowledged() {
    let (_cluster, mut clients) = bound(&[("alice", C1), ("bob", C2)]).await;
    let room = json!({ "channel": "room" });
    let ack = json!({ "ack": true });
    let done = steps(
        &mut clients[0],
        "chat",
        json!([
            [room, "add", "alice", C1],
            [room, "add", "bob", C2],
            [room, "pushMessage", "onX", {}, ack],
            [room, "add", "ghost", C1],
            [room, "add", "phantom", C2],
            [room, "add", "lost", "connector-9"],
            [room, "pushMessage", "onX", {}, ack],
            [room, "pushMessage", "onX", {}, { "ack": true, "exclude": ["ghost", "lost"] }],
            // Without an ack only what is known at once: a frontend that does not exist.
            [room, "pushMessage", "onX", {}],
            ["channelService", "pushMessageByUids", "onX", {}, [
                { "uid": "alice", "sid": C2 }, { "uid": "bob", "sid": C2 }, { "uid": "nowhere" },
            ], ack],
        ]),
    )
    .await;
    assert_eq!(done[2], json!([null]));
    let sorted = |outcome: &Value| -> Vec<String> {
        let uids = outcome[0].as_array().unwrap_or_else(|| panic!("{outcome}"));
        let mut uids: Vec<_> = uids.iter().map(|uid| uid.as_str().unwrap().to_owned()).collect();
        uids.sort();
        uids
    };
    assert_eq!(sorted(&done[6]), ["ghost", "lost", "phantom"]);
    assert_eq!(sorted(&done[7]), ["phantom"]);
    assert_eq!(sorted(&done[8]), ["lost"]);
    assert_eq!(sorted(&done[9]), ["alice", "nowhere"]);
}

#[tokio::test]
async fn broadcast() {
    let (cluster, mut clients) = bound(&[("alice", C1), ("bob", C2), ("alice", C1)]).await;
    let mut stranger = cluster.client(C2).await;
    fence(&mut stranger).await;
    let service = "channelService";
    let done = steps(
        &mut clients[0],
        "chat",
        json!([
            [service, "broadcast", "connector", "onAll", { "n": 1 }],
            [service, "broadcast", "connector", "onAll", { "n": 2 }, { "binded": true }],
            [service, "broadcast", "chat", "onAll", { "n": 3 }],
            [service, "broadcast", "nosuch", "onAll", { "n": 4 }],
        ]),
    )
    .await;
    assert_eq!(done[..2], [json!([]), json!([])]);
    assert_eq!(raised(&done[2]), (502, "there is no frontend of type chat"));
    assert_eq!(raised(&done[3]), (502, "there is no frontend of type nosuch"));
    let all = |numbers: &[i32]| -> Vec<Event> {
        let push = |n: &i32| Event::Push("onAll".into(), json!({ "n": n }));
        numbers.iter().map(push).collect()
    };
    for client in &mut clients {
        fence(client).await;
        assert_eq!(client.unasked(), all(&[1, 2]));
    }
    fence(&mut stranger).await;
    assert_eq!(stranger.unasked(), all(&[1]));
}

/// What a handler pushes before it returns reaches a client before the response does, wherever it runs.
#[tokio::test]
async fn pushes_before_the_response() {
    let (_cluster, mut clients) = bound(&[("alice", C1)]).await;
    let client = &mut clients[0];
    for server_type in ["connector", "chat"] {
        for ack in [false, true] {
            let push =
                |n: i32| json!([{ "channel": "room" }, "pushMessage", "onX", { "n": n }, { "ack": ack }]);
            let calls = json!([[{ "channel": "room" }, "add", "alice", C1], push(1), push(2)]);
            let route = format!("{server_type}.labHandler.steps");
            let id = client.ask(&route, json!({ "steps": calls })).await;
            for n in 1..=2 {
                assert_eq!(client.next().await, Event::Push("onX".into(), json!({ "n": n })));
            }
            assert!(matches!(client.next().await, Event::Response(of, _) if of == id));
        }
    }
}

/// A script may name as many users to leave out as users to push to: looking for each among all would take minutes.
#[tokio::test]
async fn many_recipients_without_many() {
    let setup = setup()
        .script(
            "connector/handler/manyHandler.lua",
            r#"
            local manyHandler = {}
            function manyHandler.push(msg, session)
                local users, exclude = {}, {}
                for n = 1, 60000 do
                    users[n] = { uid = "user" .. n, sid = msg.sid }
                    exclude[n] = "user" .. 60001 - n
                end
                exclude[60000] = nil
                local options = { exclude = exclude, ack = msg.ack }
                local unreached = app.channelService:pushMessageByUids("onMany", {}, users, options)
                return { unreached = unreached }
            end
            return manyHandler
            "#,
        )
        .settings(&json!({ "all": { "script": { "callMs": 60_000 } } }));
    let cluster = setup.start().await;
    let mut client = cluster.client(C1).await;
    // Here, and where nobody is.
    for sid in [C1, "nowhere"] {
        for ack in [false, true] {
            let body = json!({ "sid": sid, "ack": ack });
            let answer = client.request("connector.manyHandler.push", body).await;
            assert_eq!(answer, json!({ "unreached": ["user1"] }), "{sid}");
        }
    }
}
