//! Starting: what keeps a cluster from starting is said at once, all of it, with file and line; and part of a cluster.

use chathost_tests::{Setup, Transport};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};

/// The one problem there is.
async fn problem(setup: Setup) -> String {
    let problems = setup.problems().await;
    let [problem] = &problems[..] else {
        panic!("one problem, not {problems:#?}")
    };
    problem.clone()
}

fn taken_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn frontend(id: &str, port: u16) -> Value {
    json!({ "id": id, "host": "127.0.0.1", "port": 0, "clientPort": port, "frontend": true })
}

#[tokio::test]
async fn ports_in_use() {
    let ((_a, first), (_b, second)) = (taken_port(), taken_port());
    let problems = Setup::connector("return { connectorHandler = {} }")
        .server("connector", frontend("connector-2", first))
        .server("connector", frontend("connector-3", second))
        .problems()
        .await;
    assert_eq!(problems.len(), 2, "{problems:#?}");
    for (problem, (id, port)) in problems
        .iter()
        .zip([("connector-2", first), ("connector-3", second)])
    {
        assert!(
            problem.starts_with(&format!("{id}: port {port} is in use;")),
            "{problem}"
        );
        assert!(
            problem.contains("servers.json"),
            "where it can be changed: {problem}"
        );
    }
}

#[tokio::test]
async fn the_page_s_port_in_use() {
    let (_taken, port) = taken_port();
    let web = json!({ "web": { "enabled": true, "host": "127.0.0.1", "port": port } });
    let problem = problem(Setup::demo().settings(&web)).await;
    assert!(problem.contains(&format!("127.0.0.1:{port}")), "{problem}");
    assert!(problem.contains("web.port in chathost.json"), "{problem}");
}

#[tokio::test]
async fn scripts_that_do_not_load() {
    let group = "return { chatHandler = {} }";
    for (script, says) in [
        ("local a = 1\nlocal = 2", "handlers/chat.lua:2: "),
        ("local a = nil\n\nlocal b = a.b", "handlers/chat.lua:3: "),
        ("error('no')", "handlers/chat.lua:1: no"),
        ("while true do end", "handlers/chat.lua:1: "),
        (
            "local util = require('nosuch')",
            "there is no handlers/nosuch.lua",
        ),
        (
            "return 7",
            "handlers/chat.lua: it has to return a table of functions",
        ),
        ("local chatHandler = {}", "is the `return` at its end missing?"),
        (
            "return { chat = {} }",
            "handlers/chat.lua: `chat` is a table but no group",
        ),
    ] {
        // Three servers find the same, and it is said once.
        let problem = problem(Setup::demo().servers("chat", 3).script("chat.lua", script)).await;
        assert!(problem.contains(says), "{script:?}: {problem}");
        assert!(problem.contains("handlers/chat.lua"), "{script:?}: {problem}");
    }
    let everywhere = Setup::demo()
        .script("chat.lua", group)
        .script("app.lua", "\n\noops(");
    let problem = problem(everywhere).await;
    assert!(problem.starts_with("handlers/app.lua:3: "), "{problem}");
}

#[tokio::test]
async fn no_scripts_for_a_type() {
    let problem = problem(Setup::demo().servers("area", 1)).await;
    assert!(
        problem.contains("`area`") && problem.contains("handlers/area.lua"),
        "{problem}"
    );
}

#[tokio::test]
async fn mistakes_in_the_configuration() {
    let typo = Setup::demo().settings(&json!({ "connector": { "heartbeet": 3 } }));
    let says = problem(typo).await;
    assert!(
        says.contains("chathost.json:") && says.contains("did you mean heartbeat?"),
        "{says}"
    );
    let twice = Setup::demo().server(
        "chat",
        json!({ "id": "connector-1", "host": "127.0.0.1", "port": 0 }),
    );
    let says = problem(twice).await;
    assert!(
        says.contains("servers.json:") && says.contains("connector-1"),
        "{says}"
    );
}

/// What failed to start holds no port.
#[tokio::test]
async fn nothing_is_left_behind() {
    let port = taken_port().1;
    let setup = Setup::connector("oops(")
        .servers("connector", 0)
        .server("connector", frontend("c", port));
    setup.clone().problems().await;
    let cluster = setup
        .script("connector.lua", "return { connectorHandler = {} }")
        .start()
        .await;
    assert_eq!(cluster.address("c").port(), port);
}

/// `check` finds the same without starting anything.
#[tokio::test]
async fn check() {
    let (_taken, port) = taken_port();
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::demo().server("connector", frontend("connector-2", port));
    let options = setup.write(folder.path());
    chathost::check(options.load().unwrap()).await.unwrap();
    let options = setup
        .script("gate.lua", "oops(")
        .script("chat.lua", "oops(")
        .write(folder.path());
    let problems = chathost::check(options.load().unwrap())
        .await
        .unwrap_err()
        .problems;
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("handlers/gate.lua:1: ")),
        "{problems:#?}"
    );
}

/// `--only`: these servers and no others; the dictionary has the routes of all.
#[tokio::test]
async fn only_some_servers() {
    let setup = Setup::demo()
        .servers("connector", 2)
        .settings(&json!({ "connector": { "useDict": true } }));
    let cluster = setup.clone().only(&["connector-2", "gate-1"]).start().await;
    let mut client = cluster.open("connector-2", Transport::WebSocket).await;
    let answer = client.log_in(&chathost_tests::Hello::default()).await;
    assert_eq!(answer["sys"]["routeToCode"]["chat.chatHandler.send"], 1);
    // The chat is elsewhere, and nobody leads there.
    let enter = json!({ "username": "alice", "rid": "tea" });
    let answer = client.request("connector.entryHandler.enter", enter).await;
    assert_eq!(answer, json!({ "code": 500 }));
    assert!(
        tokio::net::TcpStream::connect(cluster.address("gate-1"))
            .await
            .is_ok()
    );
    let server = cluster.instance().cluster().server("connector-1").unwrap();
    assert_eq!(server.client_port, Some(0), "it does not listen");

    let problem = problem(setup.only(&["connector-2", "conector-1"])).await;
    assert!(
        problem.contains("conector-1") && problem.contains("connector-1"),
        "{problem}"
    );
}
