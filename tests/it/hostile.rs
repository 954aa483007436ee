//! Hostile scripts in a live host, while an honest room on the same server keeps talking.
//!
//! The scripts are those of `host/chathost-lua/tests/hostile`, one handler each. Whatever they do, each request gets an
//! answer, and the room hears every message, in order.

use chathost_tests::{Client, Setup, root, within};
use serde_json::json;
use std::{fs, sync::Arc};
use tokio::sync::Notify;

/// A case: its name, how it ends, and its script.
struct Case {
    name: String,
    end: String,
    script: String,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for file in fs::read_dir(root().join("host/chathost-lua/tests/hostile")).unwrap() {
        let path = file.unwrap().path();
        // Those are about loading: tests/it/swap.rs.
        if path.ends_with("load_time.lua") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        for case in text.split("\n--- ").skip(1) {
            let (title, script) = case.split_once('\n').unwrap();
            let (name, end) = title.split_once(" => ").unwrap();
            cases.push(Case {
                name: name.into(),
                end: end.into(),
                script: script.into(),
            });
        }
    }
    cases
}

#[tokio::test]
async fn an_honest_room_beside_them() {
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    let mut handlers = String::from("local evilHandler = {}\n");
    for (number, case) in cases.iter().enumerate() {
        handlers.push_str(&format!(
            "function evilHandler.case{number}(...)\n{}\nend\n",
            case.script
        ));
    }
    handlers.push_str("return evilHandler\n");
    let settings = json!({
        "all": {
            "limits": { "messagesPerSecond": 100_000, "burst": 100_000 },
            "script": { "callMs": 40, "memoryMb": 24, "responseBytes": 65_536, "deadlineSeconds": 2, "loadMs": 5000 },
        },
    });
    let cluster = Setup::demo()
        .script("app.lua", "")
        .script("chat/handler/evilHandler.lua", &handlers)
        .settings(&settings)
        .start()
        .await;
    let mut alice = cluster.enter("alice", "tea").await;
    let mut bob = cluster.enter("bob", "tea").await;
    let done = Arc::new(Notify::new());
    let ended = done.clone();
    let room = tokio::spawn(async move {
        let mut said = 0_u64;
        let talk = async {
            loop {
                let answer = alice
                    .request("chat.chatHandler.send", json!({ "content": said, "target": "*" }))
                    .await;
                assert_eq!(answer, json!({}), "message {said}");
                for member in [&mut alice, &mut bob] {
                    assert_eq!(member.push("onChat").await["msg"], said);
                }
                said += 1;
            }
        };
        tokio::select! {
            () = talk => {}
            () = ended.notified() => {}
        }
        said
    });
    let mut attacker: Client = cluster.client("connector-1").await;
    for (number, Case { name, end, .. }) in cases.iter().enumerate() {
        let route = format!("chat.evilHandler.case{number}");
        let asked = attacker.request(&route, json!({}));
        let answer = within(name, asked).await;
        if end.starts_with("cpu") || end.starts_with("memory") || end.starts_with("cannot be sent: more") {
            assert_eq!(answer["code"], 503, "{name}: {answer}");
        }
        let text = answer.to_string();
        assert!(
            !text.contains(".lua:"),
            "{name} tells its client about the inside: {text}"
        );
    }
    done.notify_one();
    let said = within("the room", room).await.unwrap();
    assert!(said > 50, "the room said {said} messages only");
    cluster.stop().await;
}

/// What a script has the host keep is bounded: the script is told, and nobody else is harmed. What is let go can be kept
/// again, as much as before.
#[tokio::test]
async fn hoarders() {
    let hoard = fs::read_to_string(root().join("tests/fixtures/hoard.lua")).unwrap();
    let cluster = Setup::demo()
        .script("app.lua", "")
        .script("chat/handler/hoardHandler.lua", &hoard)
        .script("connector/handler/hoardHandler.lua", &hoard)
        .settings(&json!({ "all": { "script": { "keptMb": 1, "callMs": 20_000, "rpcCalls": 100_000 } } }))
        .start()
        .await;
    let mut alice = cluster.enter("alice", "tea").await;
    let mut bob = cluster.enter("bob", "tea").await;
    for (server_type, way) in [
        ("chat", "channels"),
        ("chat", "channelsByName"),
        ("chat", "members"),
        ("chat", "places"),
        ("chat", "values"),
        ("chat", "copies"),
        ("chat", "appValues"),
        ("connector", "settings"),
        ("connector", "listeners"),
        ("connector", "globalMembers"),
    ] {
        let mut levels = Vec::new();
        for round in 0..3 {
            let mut hoarder = cluster.client("connector-1").await;
            let body = json!({ "way": way });
            let route = |function: &str| format!("{server_type}.hoardHandler.{function}");
            let full = within(way, hoarder.request(&route("fill"), body.clone())).await;
            let error = full["error"].as_str().unwrap_or_default();
            assert!(
                error.contains("keep more than 1 MiB") && error.contains("script.keptMb"),
                "{way}: {full}"
            );
            let answer = alice
                .request(
                    "chat.chatHandler.send",
                    json!({ "content": round, "target": "*" }),
                )
                .await;
            assert_eq!(answer, json!({}), "{way}");
            for member in [&mut alice, &mut bob] {
                assert_eq!(member.push("onChat").await["msg"], round, "{way}");
            }
            assert_eq!(hoarder.request(&route("free"), body).await, json!({}), "{way}");
            hoarder.close().await;
            levels.push(full["count"].as_u64().unwrap());
        }
        assert!(levels[0] > 50, "{way}: {levels:?}");
        // What is garbage by now may take a little.
        let least = levels[0] / 10 * 9;
        assert!(levels.iter().all(|&level| level >= least), "{way}: {levels:?}");
    }
    cluster.enter("carol", "tea").await;
    cluster.stop().await;
}

/// Rules for types that there are not are forgotten, and those for others have short names.
#[tokio::test]
async fn rules_without_number() {
    let script = r#"
        local evilHandler = {}
        function evilHandler.rules()
            for n = 1, 1000 do
                app:route("type" .. n, ("x"):rep(1000))
                app:concurrent("connector.evilHandler.route" .. n)
            end
            local ok, problem = pcall(app.route, app, "connector", ("x"):rep(5000))
            app:route("connector", "rid")
            return { ok = ok, problem = problem }
        end
        return { evilHandler = evilHandler }
    "#;
    let cluster = Setup::connector(script).start().await;
    let mut client = cluster.client("connector-1").await;
    let answer = client.request("connector.evilHandler.rules", json!({})).await;
    assert_eq!(answer["ok"], false, "{answer}");
    let problem = answer["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("4096 bytes at most"), "{answer}");
}
