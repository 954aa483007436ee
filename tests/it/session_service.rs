//! Sessions on their frontend: `app.sessionService`, `session`, and the events of a session.

use crate::steps::{raised, setup, step, steps};
use chathost_tests::{Client, Cluster};
use serde_json::{Value, json};

/// What another client sees of the sessions of a uid.
async fn by_uid(client: &mut Client, uid: &str) -> Value {
    step(client, "connector", json!(["sessionService", "getByUid", uid])).await[0].take()
}

/// A client of the gate, which hears the events.
async fn watcher(cluster: &Cluster) -> Client {
    let mut watcher = cluster.client("gate-1").await;
    steps(&mut watcher, "gate", json!([])).await;
    watcher
}

async fn event(watcher: &mut Client) -> Value {
    watcher.push("onEvent").await
}

#[tokio::test]
async fn bind_and_unbind() {
    let cluster = setup().start().await;
    let mut a = cluster.client("connector-1").await;
    let mut b = cluster.client("connector-1").await;
    assert_eq!(by_uid(&mut b, "alice").await, Value::Null);

    let bound = steps(
        &mut a,
        "connector",
        json!([["session", "bind", "alice"], ["session", "export"]]),
    )
    .await;
    let alice = json!({ "id": 1, "frontendId": "connector-1", "uid": "alice", "settings": {} });
    assert_eq!(bound, [json!([]), json!([alice])]);
    assert_eq!(by_uid(&mut b, "alice").await, json!([alice]));

    // Again is well; another uid is not.
    let again = steps(
        &mut a,
        "connector",
        json!([["session", "bind", "alice"], ["session", "bind", "bob"]]),
    )
    .await;
    assert_eq!(again[0], json!([]));
    assert_eq!(raised(&again[1]), (500, "session has already bind with alice"));

    // A uid may have several sessions; the service binds by id. A number becomes its text.
    let second = steps(
        &mut b,
        "connector",
        json!([
            ["sessionService", "bind", 2, "alice"],
            ["sessionService", "getSessionsCount"],
            ["sessionService", "getUidsCount"],
            ["sessionService", "bind", 99, "alice"],
            ["sessionService", "unbind", 2, "bob"],
            ["sessionService", "unbind", 2, "alice"],
            ["sessionService", "bind", 2, 42],
            ["sessionService", "getUidsCount"],
        ]),
    )
    .await;
    assert_eq!(second[..3], [json!([]), json!([2]), json!([1])]);
    assert_eq!(raised(&second[3]), (500, "session does not exist, sid: 99"));
    assert_eq!(raised(&second[4]), (500, "session 2 is not bound to bob"));
    assert_eq!(second[5..], [json!([]), json!([]), json!([2])]);
    assert_eq!(by_uid(&mut a, "42").await[0]["id"], 2);

    let unbound = steps(
        &mut a,
        "connector",
        json!([
            ["session", "unbind", "bob"],
            ["session", "unbind", "alice"],
            ["session", "export"]
        ]),
    )
    .await;
    assert_eq!(raised(&unbound[0]).0, 500);
    assert_eq!(unbound[2][0]["uid"], Value::Null);
    assert_eq!(by_uid(&mut b, "alice").await, Value::Null);
}

/// Of several sessions of a uid each is there, in the order in which they were bound, until it ends.
#[tokio::test]
async fn several_sessions_of_a_uid() {
    let cluster = setup().start().await;
    let mut watcher = watcher(&cluster).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(cluster.client("connector-1").await);
    }
    for place in [2, 0, 1] {
        step(
            &mut clients[place],
            "connector",
            json!(["session", "bind", "alice"]),
        )
        .await;
    }
    let ids = |sessions: &Value| -> Vec<u64> {
        let sessions = sessions.as_array().unwrap().iter();
        sessions.map(|session| session["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(&by_uid(&mut clients[0], "alice").await), [3, 1, 2]);
    clients.pop().unwrap().close().await;
    while event(&mut watcher).await["event"] != "closed" {}
    assert_eq!(ids(&by_uid(&mut clients[0], "alice").await), [1, 2]);
}

#[tokio::test]
async fn single_session() {
    let cluster = setup()
        .settings(&json!({ "connector": { "singleSession": true } }))
        .start()
        .await;
    let mut watcher = watcher(&cluster).await;
    let mut a = cluster.client("connector-1").await;
    let mut b = cluster.client("connector-1").await;
    step(&mut a, "connector", json!(["session", "bind", "alice"])).await;
    let refused = step(&mut b, "connector", json!(["session", "bind", "alice"])).await;
    assert_eq!(raised(&refused).0, 500);
    a.close().await;
    while event(&mut watcher).await["event"] != "closed" {}
    assert_eq!(
        step(&mut b, "connector", json!(["session", "bind", "alice"])).await,
        json!([])
    );
}

#[tokio::test]
async fn kick() {
    let cluster = setup().start().await;
    let mut by = cluster.client("connector-1").await;
    let mut clients = Vec::new();
    for uid in ["alice", "alice", "bob", "carol"] {
        let mut client = cluster.client("connector-1").await;
        step(&mut client, "connector", json!(["session", "bind", uid])).await;
        clients.push(client);
    }
    let done = steps(
        &mut by,
        "connector",
        json!([
            ["sessionService", "kick", "alice", "enough"],
            ["sessionService", "kick", "bob"],
            ["sessionService", "kickBySessionId", 5, "five"],
            // Nobody there is well.
            ["sessionService", "kick", "nobody"],
            ["sessionService", "kickBySessionId", 99],
        ]),
    )
    .await;
    assert!(done.iter().all(|outcome| *outcome == json!([])), "{done:?}");
    for (client, reason) in clients.iter_mut().zip(["enough", "enough", "kick", "five"]) {
        assert_eq!(client.kicked().await, json!({ "reason": reason }));
        assert_eq!(client.closed().await, Some(1000));
    }
    let counts = steps(
        &mut by,
        "connector",
        json!([
            ["sessionService", "getSessionsCount"],
            ["sessionService", "getUidsCount"]
        ]),
    )
    .await;
    assert_eq!(counts, [json!([1]), json!([0])]);
}

#[tokio::test]
async fn import_and_address() {
    let cluster = setup().start().await;
    let mut client = cluster.client("connector-1").await;
    let port = client.socket().local_addr().port();
    let done = steps(
        &mut client,
        "connector",
        json!([
            ["sessionService", "import", 1, "rid", "tea"],
            ["sessionService", "importAll", 1, { "level": 3, "tags": ["a", "b"] }],
            ["sessionService", "get", 1],
            ["sessionService", "getClientAddressBySessionId", 1],
            ["sessionService", "import", 99, "rid", "tea"],
            ["sessionService", "importAll", 99, {}],
            ["sessionService", "get", 99],
            ["sessionService", "getClientAddressBySessionId", 99],
        ]),
    )
    .await;
    assert_eq!(done[..2], [json!([]), json!([])]);
    let settings = json!({ "rid": "tea", "level": 3, "tags": ["a", "b"] });
    assert_eq!(done[2][0]["settings"], settings);
    assert_eq!(done[3], json!([{ "ip": "127.0.0.1", "port": port }]));
    assert_eq!(raised(&done[4]).0, 500);
    assert_eq!(raised(&done[5]).0, 500);
    assert_eq!(done[6..], [json!([null]), json!([null])]);
    // The next message travels with it, to any server.
    for server_type in ["connector", "chat"] {
        let seen = step(&mut client, server_type, json!(["session", "get", "level"])).await;
        assert_eq!(seen, json!([3]));
    }
}

/// What a handler sets is its own until it pushes it.
#[tokio::test]
async fn set_push_and_push_all() {
    for server_type in ["connector", "chat"] {
        let cluster = setup().start().await;
        let mut client = cluster.client("connector-1").await;
        let done = steps(
            &mut client,
            server_type,
            json!([
                ["session", "set", "a", 1],
                ["session", "set", { "b": "two", "c": { "deep": [3, null] } }],
                ["session", "get", "a"],
                ["session", "push", "b"],
                ["session", "get", "nothing"],
            ]),
        )
        .await;
        assert_eq!(done[2..], [json!([1]), json!([]), json!([null])], "{server_type}");
        let settings = step(&mut client, server_type, json!(["session", "export"])).await;
        assert_eq!(
            settings[0]["settings"],
            json!({ "b": "two" }),
            "only b was pushed"
        );

        steps(
            &mut client,
            server_type,
            json!([
                ["session", "set", "a", 5],
                ["session", "set", "c", { "deep": [3, null] }],
                ["session", "pushAll"],
                ["session", "remove", "b"],
                ["session", "set", "a", "not pushed"],
            ]),
        )
        .await;
        let settings = step(&mut client, server_type, json!(["session", "export"])).await;
        let expected = json!({ "a": 5, "b": "two", "c": { "deep": [3, null] } });
        assert_eq!(settings[0]["settings"], expected, "{server_type}");
    }
}

#[tokio::test]
async fn iteration() {
    let cluster = setup().start().await;
    let mut clients = Vec::new();
    for uid in [Some("alice"), None, Some("bob")] {
        let mut client = cluster.client("connector-1").await;
        // Answered: the session is there.
        steps(&mut client, "connector", json!([])).await;
        if let Some(uid) = uid {
            step(&mut client, "connector", json!(["session", "bind", uid])).await;
        }
        clients.push(client);
    }
    let all = clients[1].request("connector.labHandler.each", json!({})).await;
    assert_eq!(all, json!({ "ids": [1, 2, 3], "uids": ["alice", "bob"] }));
}

/// A listener is a function, or the name of one in its module; the service's hear every session.
#[tokio::test]
async fn events() {
    let cluster = setup().start().await;
    let mut watcher = watcher(&cluster).await;
    let mut client = cluster.client("connector-1").await;
    client.request("connector.labHandler.listen", json!({})).await;
    steps(
        &mut client,
        "connector",
        json!([
            ["session", "bind", "alice"],
            ["session", "unbind", "alice"],
            ["session", "bind", "bob"]
        ]),
    )
    .await;
    for (name, uid) in [
        ("bind", json!("alice")),
        ("unbind", Value::Null),
        ("bind", json!("bob")),
    ] {
        for how in ["function", "name", "service"] {
            let heard = event(&mut watcher).await;
            assert_eq!(heard["how"], how);
            assert_eq!((&heard["event"], &heard["uid"]), (&json!(name), &uid));
        }
    }
    client.close().await;
    for how in ["function", "name", "service"] {
        let expected = json!({ "how": how, "event": "closed", "uid": "bob", "reason": "client closed" });
        assert_eq!(event(&mut watcher).await, expected);
    }

    // The reason of a kick is the kick's; of a connection that breaks, that it broke.
    let mut by = cluster.client("connector-1").await;
    let mut kicked = cluster.client("connector-1").await;
    steps(&mut kicked, "connector", json!([])).await;
    step(
        &mut by,
        "connector",
        json!(["sessionService", "kickBySessionId", 3, "enough"]),
    )
    .await;
    assert_eq!(event(&mut watcher).await["reason"], "enough");
    by.abort();
    assert_eq!(event(&mut watcher).await["reason"], "connection lost");

    // Whoever registers when it is over hears it at once.
    let mut late = cluster.client("connector-1").await;
    late.ask("connector.labHandler.tooLate", json!({})).await;
    late.closed().await;
    assert_eq!(event(&mut watcher).await["how"], "service");
    let heard = event(&mut watcher).await;
    assert_eq!(
        (&heard["how"], &heard["event"]),
        (&json!("name"), &json!("closed"))
    );
}

/// Events happen where the client is connected.
#[tokio::test]
async fn no_events_elsewhere() {
    let cluster = setup().start().await;
    let mut client = cluster.client("connector-1").await;
    for (server_type, event, cause) in [
        (
            "chat",
            "closed",
            "session:on works on the server the client is connected to, connector-1",
        ),
        (
            "connector",
            "gone",
            "there is no event gone: bind, unbind or closed",
        ),
    ] {
        let refused = step(&mut client, server_type, json!(["session", "on", event, "f"])).await;
        let error = refused["error"].as_str().unwrap_or_else(|| panic!("{refused}"));
        assert!(error.contains(cause), "{error}");
    }
}

/// `app.backendSessionService`: the sessions of a frontend, from any server.
#[tokio::test]
async fn from_a_backend() {
    let cluster = setup().start().await;
    let mut client = cluster.client("connector-1").await;
    let mut other = cluster.client("connector-1").await;
    steps(&mut other, "connector", json!([])).await;
    let here = "connector-1";
    let done = steps(
        &mut client,
        "chat",
        json!([
            ["session", "bind", "alice"],
            ["backendSessionService", "bind", here, 2, "bob"],
            ["backendSessionService", "push", here, 2, "rid", "tea"],
            ["backendSessionService", "pushAll", here, 2, { "level": 3 }],
            ["backendSessionService", "get", here, 2],
            ["backendSessionService", "getByUid", here, "alice"],
            ["backendSessionService", "get", here, 99],
            ["backendSessionService", "getByUid", here, "nobody"],
            ["backendSessionService", "bind", here, 99, "x"],
            ["backendSessionService", "unbind", here, 2, "alice"],
            ["backendSessionService", "get", "connector-99", 2],
        ]),
    )
    .await;
    let bob = json!({ "id": 2, "frontendId": here, "uid": "bob", "settings": { "rid": "tea", "level": 3 } });
    assert_eq!(done[4], json!([bob]));
    assert_eq!(done[5][0][0]["uid"], "alice");
    assert_eq!(done[6..8], [json!([null]), json!([null])]);
    assert_eq!(raised(&done[8]), (500, "session does not exist, sid: 99"));
    assert_eq!(raised(&done[9]), (500, "session 2 is not bound to alice"));
    assert_eq!(raised(&done[10]).0, 502);

    // Pomelo's other name for it.
    let done = steps(
        &mut client,
        "chat",
        json!([
            ["localSessionService", "unbind", here, 2, "bob"],
            ["localSessionService", "kickBySid", here, 2],
            ["localSessionService", "kickBySid", here, 99, "nobody"],
            ["localSessionService", "kickByUid", here, "nobody"],
        ]),
    )
    .await;
    assert!(done.iter().all(|outcome| *outcome == json!([])), "{done:?}");
    assert_eq!(other.kicked().await, json!({ "reason": "kick" }));
    client
        .ask(
            "chat.labHandler.steps",
            json!({ "steps": [["backendSessionService", "kickByUid", here, "alice", "enough"]] }),
        )
        .await;
    assert_eq!(client.kicked().await, json!({ "reason": "enough" }));
    client.closed().await;
}
