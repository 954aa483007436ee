//! A thousand people in fifty rooms: nothing is lost, nothing comes twice, and each hears each in order.

use chathost_tests::{Client, Cluster, Event, Setup};
use futures_util::{StreamExt, future::join_all, stream};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use std::collections::HashMap;

const USERS: usize = 1000;
const ROOMS: usize = 50;
const MESSAGES: usize = 5;

fn name(user: usize) -> String {
    format!("user{user}")
}

fn room(user: usize) -> String {
    format!("room{}", user % ROOMS)
}

#[tokio::test]
async fn nothing_lost_nothing_twice_in_order() {
    // Both ends of each connection are in this process.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();

    let settings = json!({
        // Nobody's turn to send a heartbeat comes while a thousand others are being looked after.
        "connector": { "heartbeat": null, "limits": { "messagesPerSecond": 100_000, "burst": 100_000 } },
    });
    let cluster = Setup::shipped().settings(&settings).start().await;
    let entering = (0..USERS).map(|user| enter(&cluster, user));
    let mut clients: Vec<(usize, Client)> = stream::iter(entering).buffered(50).collect().await;

    // Everybody talks, one message after the other, and all at the same time.
    join_all(clients.iter_mut().map(|(user, client)| talk(*user, client))).await;
    join_all(clients.iter_mut().map(|(user, client)| compare(*user, client))).await;
    for (_, client) in clients {
        client.abort();
    }
    cluster.stop().await;
}

/// More in one breath than the queue between two servers holds: a turn ends before it is full.
#[tokio::test]
async fn a_burst_larger_than_a_queue() {
    const BURST: u64 = 6000;
    let limits = json!({ "messagesPerSecond": 100_000, "burst": 100_000, "requestsInFlight": 10_000, "outboxBytes": 10_000_000 });
    let settings = json!({ "all": { "limits": limits, "rpc": { "maxPending": 100_000 } } });
    let cluster = Setup::demo().settings(&settings).start().await;
    let mut bob = cluster.enter("bob", "tea").await;
    let mut alice = cluster.enter("alice", "tea").await;
    let hears = async |client: &mut Client| {
        for n in 0..BURST {
            assert_eq!(client.push("onChat").await["msg"], n);
        }
    };
    for n in 0..BURST {
        alice
            .ask_as(
                1000 + n,
                "chat.chatHandler.send",
                json!({ "content": n, "target": "*" }),
            )
            .await;
    }
    hears(&mut bob).await;
    hears(&mut alice).await;
    for n in 0..BURST {
        assert_eq!(alice.response(1000 + n).await, json!({}));
    }
    cluster.stop().await;
}

async fn enter(cluster: &Cluster, user: usize) -> (usize, Client) {
    let mut client = cluster
        .client(&format!("connector-server-{}", user % 3 + 1))
        .await;
    let body = json!({ "username": name(user), "rid": room(user) });
    let answer = client.request("connector.entryHandler.enter", body).await;
    let users = answer["users"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert!(users.contains(&json!(name(user))), "{answer}");
    (user, client)
}

async fn talk(user: usize, client: &mut Client) {
    for number in 0..MESSAGES {
        let body = json!({ "content": format!("{number}"), "target": "*" });
        assert_eq!(
            client.request("chat.chatHandler.send", body).await,
            json!({}),
            "{}",
            name(user)
        );
    }
}

/// Everything has been said; the answer of the room's server comes after the last push.
async fn compare(user: usize, client: &mut Client) {
    client.request("chat.chatHandler.nosuch", json!({})).await;
    let mut heard: HashMap<String, Vec<String>> = HashMap::new();
    let mut joined = 0;
    for event in client.unasked() {
        match event {
            Event::Push(route, body) if route == "onChat" => {
                let text = |key: &str| body[key].as_str().unwrap().to_owned();
                heard.entry(text("from")).or_default().push(text("msg"));
            }
            Event::Push(route, _) if route == "onAdd" => joined += 1,
            other => panic!("{}: {other:?}", name(user)),
        }
    }
    let in_room: Vec<usize> = (0..USERS).filter(|other| room(*other) == room(user)).collect();
    assert_eq!(
        heard.len(),
        in_room.len(),
        "{} hears everybody in the room",
        name(user)
    );
    let in_order: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
    for other in &in_room {
        assert_eq!(
            heard[&name(*other)],
            in_order,
            "{} hears {}",
            name(user),
            name(*other)
        );
    }
    assert!(joined < in_room.len(), "nobody is told of itself");
}
