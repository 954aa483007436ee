//! Handlers are replaced while people are connected: on all servers of a type or on none, and nothing is lost.

use chathost::keeper::Swaps;
use chathost_core::host::Reload;
use chathost_tests::{Client, Cluster, Hello, Setup, Transport, within};
use serde_json::{Value, json};

/// A connector that answers with its version, and a chat server that does.
async fn versions() -> Cluster {
    Setup::demo()
        .servers("chat", 2)
        .script("app.lua", "")
        .script("connector.lua", &connector(1))
        .script("chat.lua", &chat(1, ""))
        .start()
        .await
}

fn connector(version: u32) -> String {
    format!(
        "local h = {{}} function h.version() return {{ v = {version} }} end return {{ entryHandler = h }}"
    )
}

fn chat(version: u32, more: &str) -> String {
    format!(
        "local h = {{}} function h.version() return {{ v = {version} }} end {more} return {{ chatHandler = h, state = state }}"
    )
}

fn save(cluster: &Cluster, file: &str, text: &str) {
    std::fs::write(cluster.base().join("handlers").join(file), text).unwrap();
}

async fn reload(cluster: &Cluster, server_type: &str) -> Swaps {
    within(
        "a reload",
        cluster
            .instance()
            .handle()
            .reload(Some(server_type), Reload::default()),
    )
    .await
    .unwrap()
}

fn problems(swaps: &Swaps) -> String {
    swaps
        .iter()
        .filter_map(|(_, swapped)| swapped.as_ref().err())
        .map(ToString::to_string)
        .collect()
}

async fn version(client: &mut Client, route: &str) -> Value {
    client.request(route, json!({})).await["v"].clone()
}

#[tokio::test]
async fn the_next_request_runs_the_new_code() {
    let cluster = versions().await;
    let mut client = cluster.client("connector-1").await;
    assert_eq!(version(&mut client, "connector.entryHandler.version").await, 1);
    assert_eq!(version(&mut client, "chat.chatHandler.version").await, 1);
    save(&cluster, "chat.lua", &chat(2, ""));
    let swaps = reload(&cluster, "chat").await;
    let swapped = swaps[0].1.as_ref().unwrap();
    assert!(swapped.generation.starts_with("2-"), "{swapped:?}");
    assert_eq!(version(&mut client, "chat.chatHandler.version").await, 2);
    assert_eq!(
        version(&mut client, "connector.entryHandler.version").await,
        1,
        "another type was not touched"
    );

    let again = reload(&cluster, "chat").await;
    assert!(again[0].1.as_ref().unwrap().unchanged);
    let back = within("a rollback", cluster.instance().handle().rollback("chat"))
        .await
        .unwrap();
    assert!(back[0].1.as_ref().unwrap().generation.starts_with("3-"));
    assert_eq!(version(&mut client, "chat.chatHandler.version").await, 1);
    let rows = within("a list", cluster.instance().handle().list())
        .await
        .unwrap();
    let chats: Vec<&str> = rows
        .iter()
        .filter(|row| row.server_type == "chat")
        .map(|row| row.generation.as_str())
        .collect();
    assert!(
        chats.len() == 2 && chats.iter().all(|generation| generation.starts_with("3-")),
        "{chats:?}"
    );
    cluster.stop().await;
}

/// Every way to be broken: what runs keeps running, and the answer says file and reason.
#[tokio::test]
async fn broken_handlers_are_refused() {
    let cluster = versions().await;
    let mut client = cluster.client("connector-1").await;
    for (text, reason) in [
        ("local x = = 1".to_owned(), "handlers/chat.lua:1: Expected identifier"),
        ("while true do end".to_owned(), "handlers/chat.lua:1: more than 1s of processor time"),
        ("return 5".to_owned(), "handlers/chat.lua: it has to return a table"),
        ("error('on purpose')".to_owned(), "handlers/chat.lua:1: on purpose"),
        ("local t = {} for i = 1, 1e9 do t[i] = { i } end".to_owned(), "handlers/chat.lua:1"),
        ("return { chatHandler = { other = function() end } }".to_owned(), "chat.chatHandler.version would be gone"),
        ("require('nowhere')".to_owned(), "handlers/nowhere.lua"),
        (
            "local h = {} function h.version() end \
             return { chatHandler = h, selftest = function() error('not good') end }"
                .to_owned(),
            "handlers/chat.lua: selftest: handlers/chat.lua:1: not good",
        ),
        (
            "local h = {} function h.version() end return { chatHandler = h, selftest = function() return false end }"
                .to_owned(),
            "selftest returned false",
        ),
    ] {
        save(&cluster, "chat.lua", &text);
        let swaps = reload(&cluster, "chat").await;
        let problems = problems(&swaps);
        assert!(problems.contains(reason), "{text}\n{problems}\n{reason}");
        assert_eq!(version(&mut client, "chat.chatHandler.version").await, 1, "{text}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn dry_run_and_removed_routes() {
    let cluster = versions().await;
    let mut client = cluster.client("connector-1").await;
    save(
        &cluster,
        "chat.lua",
        "return { chatHandler = { other = function() return { v = 9 } end } }",
    );
    let how = Reload {
        dry_run: true,
        allow_removed_routes: true,
    };
    let swaps = cluster
        .instance()
        .handle()
        .reload(Some("chat"), how)
        .await
        .unwrap();
    let swapped = swaps[0].1.as_ref().unwrap();
    assert_eq!(swapped.added, ["chat.chatHandler.other"]);
    assert_eq!(swapped.removed, ["chat.chatHandler.version"]);
    assert_eq!(
        version(&mut client, "chat.chatHandler.version").await,
        1,
        "nothing happened"
    );
    let how = Reload {
        dry_run: false,
        allow_removed_routes: true,
    };
    cluster
        .instance()
        .handle()
        .reload(Some("chat"), how)
        .await
        .unwrap()[0]
        .1
        .as_ref()
        .unwrap();
    assert_eq!(version(&mut client, "chat.chatHandler.other").await, 9);
    assert_eq!(
        client.request("chat.chatHandler.version", json!({})).await,
        json!({ "code": 500 })
    );
    let unknown = cluster
        .instance()
        .handle()
        .reload(Some("nope"), how)
        .await
        .unwrap();
    assert!(problems(&unknown).contains("no server type nope; there are chat, connector, gate"));
    cluster.stop().await;
}

/// A call that waits ends on the code on which it began; a listener that is known by name runs the newest.
#[tokio::test]
async fn calls_end_where_they_began() {
    let code = |version: u32| {
        format!(
            "local h = {{}}
             function h.slow(msg) app:sleep(300) return {{ v = {version} }} end
             function h.later(msg, session, next) app:setTimeout(function() next(nil, {{ v = {version} }}) end, 300) end
             function h.version(msg, session) session:on('closed', 'gone') return {{ v = {version} }} end
             function h.told() return {{ v = app:get('told') }} end
             local function gone() app:set('told', {version}) end
             return {{ entryHandler = h, gone = gone }}"
        )
    };
    let cluster = Setup::demo().script("connector.lua", &code(1)).start().await;
    let mut client = cluster.client("connector-1").await;
    let mut other = cluster.client("connector-1").await;
    let mut third = cluster.client("connector-1").await;
    assert_eq!(version(&mut third, "connector.version").await, 1);
    let slow = client.ask("connector.slow", json!({})).await;
    let later = other.ask("connector.later", json!({})).await;
    // Both have begun when a third is answered.
    assert_eq!(version(&mut third, "connector.version").await, 1);
    save(&cluster, "connector.lua", &code(2));
    reload(&cluster, "connector").await[0].1.as_ref().unwrap();
    assert_eq!(version(&mut third, "connector.version").await, 2);
    assert_eq!(client.response(slow).await, json!({ "v": 1 }));
    assert_eq!(other.response(later).await, json!({ "v": 1 }));
    third.close().await;
    assert_eq!(
        version(&mut client, "connector.told").await,
        2,
        "the newest code hears that somebody went"
    );
    cluster.stop().await;
}

#[tokio::test]
async fn state_is_handed_over() {
    let code = |version: u32, import: &str| {
        format!(
            "local count = 0
             local h = {{}}
             function h.version() count += 1 return {{ v = count, code = {version} }} end
             return {{ entryHandler = h, exportState = function() return {{ count = count }} end, importState = {import} }}"
        )
    };
    let cluster = Setup::demo()
        .script("connector.lua", &code(1, "nil"))
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    for n in 1..=3 {
        assert_eq!(version(&mut client, "connector.version").await, n);
    }
    save(
        &cluster,
        "connector.lua",
        &code(2, "function(state) count = state.count end"),
    );
    reload(&cluster, "connector").await[0].1.as_ref().unwrap();
    let answer = client.request("connector.version", json!({})).await;
    assert_eq!(answer, json!({ "v": 4, "code": 2 }));
    save(
        &cluster,
        "connector.lua",
        &code(3, "function() error('cannot use that') end"),
    );
    let refused = reload(&cluster, "connector").await;
    assert!(
        problems(&refused).contains("importState: handlers/connector.lua"),
        "{}",
        problems(&refused)
    );
    assert_eq!(
        client.request("connector.version", json!({})).await,
        json!({ "v": 5, "code": 2 })
    );
    cluster.stop().await;
}

/// What waits behind a request of its own session begins on the new code if the state has been taken from the old.
#[tokio::test]
async fn state_that_was_taken_is_not_changed() {
    // The first server's new code takes its time, and all wait for it. On the second a request ends in the meantime.
    let code = |version: u32| {
        format!(
            "local count = 0
             local h = {{}}
             function h.hold() while not app:get('taken') do app:sleep(1) end return {{}} end
             function h.count() count += 1 return {{ v = count, code = {version} }} end
             local function import(state)
               count = state.count
               local start = os.clock()
               while app:getServerId() == 'connector-1' and os.clock() - start < 0.06 do end
             end
             local function export() app:set('taken', true) return {{ count = count }} end
             return {{ entryHandler = h, exportState = export, importState = import }}"
        )
    };
    let cluster = Setup::demo()
        .servers("connector", 2)
        .script("connector.lua", &code(1))
        .start()
        .await;
    let mut client = cluster.client("connector-2").await;
    assert_eq!(version(&mut client, "connector.count").await, 1);
    let held = client.ask("connector.hold", json!({})).await;
    let behind = client.ask("connector.count", json!({})).await;
    // Both have arrived when somebody who came later is answered.
    let mut other = cluster.client("connector-2").await;
    assert_eq!(version(&mut other, "connector.count").await, 2);
    save(&cluster, "connector.lua", &code(2));
    for (_, swapped) in reload(&cluster, "connector").await {
        swapped.unwrap();
    }
    assert_eq!(client.response(held).await, json!({}));
    assert_eq!(client.response(behind).await, json!({ "v": 3, "code": 2 }));
    assert_eq!(version(&mut other, "connector.count").await, 4);
}

/// What comes while handlers are replaced waits for the new ones, but not any number of it.
#[tokio::test]
async fn not_everything_waits() {
    // The first server's new code takes its time, and all wait for it. What comes to the second meanwhile has to wait.
    let code = "
        local count = 0
        local h = {}
        function h.hold() while not app:get('taken') do app:sleep(1) end return {} end
        function h.count() count += 1 return { v = count } end
        local function import()
          local start = os.clock()
          while app:getServerId() == 'connector-1' and os.clock() - start < 0.5 do end
        end
        return { entryHandler = h, exportState = function() app:set('taken', true) return {} end, importState = import }";
    let cluster = Setup::demo()
        .servers("connector", 2)
        .script("connector.lua", code)
        // On one thread both would stand still.
        .settings(&json!({ "threads": 0 }))
        .settings(
            &json!({ "all": { "rpc": { "maxPending": 5 }, "script": { "loadMs": 5000, "callMs": 5000 } } }),
        )
        .start()
        .await;
    let mut client = cluster.client("connector-2").await;
    let held = client.ask("connector.hold", json!({})).await;
    save(&cluster, "connector.lua", &format!("{code}\n"));
    let mut messages = cluster.client("connector-2").await;
    let swap = reload(&cluster, "connector");
    let talk = async {
        // Its handler says that the state has been taken.
        assert_eq!(client.response(held).await, json!({}));
        for _ in 0..3 {
            messages.notify("connector.count", json!({})).await;
        }
        let mut asked = Vec::new();
        for _ in 0..4 {
            asked.push(messages.ask("connector.count", json!({})).await);
        }
        messages.notify("connector.count", json!({})).await;
        for id in &asked[2..] {
            let busy = json!({ "code": 503, "message": "the server is busy, try again" });
            assert_eq!(messages.response(*id).await, busy);
        }
        for (id, v) in asked[..2].iter().zip(4..) {
            assert_eq!(messages.response(*id).await, json!({ "v": v }));
        }
        assert_eq!(version(&mut messages, "connector.count").await, 6);
    };
    let (swaps, ()) = tokio::join!(swap, talk);
    for (_, swapped) in swaps {
        swapped.unwrap();
    }
}

/// Nothing that a generation asks for happens before it is accepted, and what the old one asked for goes with it.
#[tokio::test]
async fn what_loads_changes_nothing_yet() {
    let cluster = Setup::demo()
        .servers("chat", 2)
        .script("connector.lua", &connector(1))
        .script(
            "chat.lua",
            "return { chatHandler = { where = function() return { v = app.serverId, set = app:get('set') } end } }",
        )
        .script("app.lua", "app:route('chat', function() return 'chat-2' end)")
        .start()
        .await;
    let mut client = cluster.client("connector-1").await;
    assert_eq!(version(&mut client, "chat.where").await, "chat-2");
    save(
        &cluster,
        "app.lua",
        "app:route('chat', function() return 'chat-1' end) app:set('set', 'too early') error('refused')",
    );
    assert!(!problems(&reload(&cluster, "connector").await).is_empty());
    assert!(!problems(&reload(&cluster, "chat").await).is_empty());
    assert_eq!(
        client.request("chat.where", json!({})).await,
        json!({ "v": "chat-2" })
    );
    save(
        &cluster,
        "app.lua",
        "app:route('chat', function() return 'chat-1' end) app:set('set', 'now')",
    );
    let swaps = cluster
        .instance()
        .handle()
        .reload(None, Reload::default())
        .await
        .unwrap();
    assert_eq!(problems(&swaps), "");
    assert_eq!(
        client.request("chat.where", json!({})).await,
        json!({ "v": "chat-1", "set": "now" })
    );
    cluster.stop().await;
}

/// A route is added while people are connected: who is there keeps the dictionary, who comes gets the new one.
#[tokio::test]
async fn a_dictionary_is_not_renumbered_under_anybody() {
    let cluster = Setup::demo()
        .settings(&json!({ "connector": { "useDict": true } }))
        .start()
        .await;
    let mut early = cluster.open("connector-1", Transport::WebSocket).await;
    let old = early.log_in(&Hello::default()).await["sys"]["dict"].clone();
    let chat = std::fs::read_to_string(cluster.base().join("handlers/chat.lua")).unwrap();
    save(
        &cluster,
        "chat.lua",
        &chat.replace(
            "return { chatHandler",
            "function chatHandler.abc() return { v = 5 } end\nreturn { chatHandler",
        ),
    );
    reload(&cluster, "chat").await[0].1.as_ref().unwrap();
    let mut late = cluster.open("connector-1", Transport::WebSocket).await;
    let new = late.log_in(&Hello::default()).await["sys"]["dict"].clone();
    assert_eq!(
        (&old["chat.chatHandler.send"], &new["chat.chatHandler.send"]),
        (&json!(1), &json!(2))
    );
    for (client, name) in [(&mut early, "early"), (&mut late, "late")] {
        let entered = client
            .request(
                "connector.entryHandler.enter",
                json!({ "username": name, "rid": "r" }),
            )
            .await;
        assert_eq!(entered["users"].as_array().unwrap().last().unwrap(), name);
        let said = client
            .request("chat.chatHandler.send", json!({ "content": name, "target": "*" }))
            .await;
        assert_eq!(said, json!({}));
    }
    assert_eq!(early.push("onAdd").await["user"], "late");
    for said in ["early", "late"] {
        assert_eq!(early.push("onChat").await["msg"], said);
    }
    cluster.stop().await;
}

/// Requests all the time, swaps all the time: each is answered, in order, by one generation or the other.
#[tokio::test]
async fn nothing_is_lost_under_load() {
    let limits = json!({ "all": { "limits": { "messagesPerSecond": 100_000, "burst": 100_000 } } });
    let first = "local h = {} function h.n(msg) return { n = msg.n, v = 0 } end return { chatHandler = h }";
    let cluster = Setup::demo()
        .servers("chat", 2)
        .settings(&limits)
        .script("chat.lua", first)
        .start()
        .await;
    let mut ready = Vec::new();
    for number in 0..20 {
        let mut client = cluster.client("connector-1").await;
        client
            .request(
                "connector.entryHandler.enter",
                json!({ "username": number, "rid": number }),
            )
            .await;
        ready.push(client);
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let clients: Vec<_> = ready
        .into_iter()
        .map(|mut client| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let (mut n, mut newest) = (0_u64, 0);
                while !*stopped.borrow() {
                    let mut ids = Vec::new();
                    for _ in 0..8 {
                        n += 1;
                        ids.push((n, client.ask("chat.chatHandler.n", json!({ "n": n })).await));
                    }
                    for (n, id) in ids {
                        let answer = client.response(id).await;
                        assert_eq!(answer["n"], n, "{answer}");
                        let version = answer["v"].as_u64().unwrap();
                        assert!(version >= newest, "an older generation answers after a newer one");
                        newest = version;
                    }
                }
                (n, newest)
            })
        })
        .collect();
    for version in 1..=25 {
        save(
            &cluster,
            "chat.lua",
            &format!(
                "local h = {{}} function h.n(msg) return {{ n = msg.n, v = {version} }} end return {{ chatHandler = h }}"
            ),
        );
        reload(&cluster, "chat").await[0].1.as_ref().unwrap();
    }
    stop.send_replace(true);
    for client in clients {
        let (requests, newest) = client.await.unwrap();
        assert!(requests > 0 && newest <= 25, "{requests} {newest}");
    }
    cluster.stop().await;
}
