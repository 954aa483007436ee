//! Files as people write them, and what they are told.

use super::*;
use std::fs;

const SERVERS: &str = r#"{ "development": {
  "gate": [ {"id": "g", "host": "127.0.0.1", "clientPort": 3014, "frontend": "true"} ],
  "connector": [ {"id": "c", "host": "127.0.0.1", "port": 4050, "clientPort": 3050, "frontend": true, "zone": [1]} ],
  "chat": [ {"clusterCount": 3, "host": "127.0.0.1", "port": "6050++"}, {"id": "last", "host": "h", "port": 6050} ]
} }"#;

fn load_files(files: &[(&str, &str)], env: &str) -> Result<Cluster, ConfigErrors> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let servers_file = folder.path().join("servers.json");
    let loaded = load(&LoadOptions {
        servers_file,
        base: folder.path().into(),
        env: env.into(),
    });
    // Messages name files; the folder's name is chance.
    let prefix = format!("{}/", folder.path().display());
    loaded.map_err(|ConfigErrors(lines)| {
        ConfigErrors(lines.iter().map(|line| line.replace(&prefix, "")).collect())
    })
}

fn refuse(files: &[(&str, &str)]) -> Vec<String> {
    load_files(files, "development").unwrap_err().0
}

#[test]
fn servers_of_all_kinds() {
    let mut cluster = load_files(&[("servers.json", SERVERS)], "development").unwrap();
    assert_eq!(
        cluster.types().map(|name| &**name).collect::<Vec<_>>(),
        ["gate", "connector", "chat"]
    );
    let chats: Vec<(&str, Option<u16>)> = cluster
        .servers_of("chat")
        .map(|server| (&*server.id, server.port))
        .collect();
    let numbered = |n: u16| (6049 + n, format!("cluster-server-chat-{n}"));
    for n in 1..=3 {
        let (port, id) = numbered(n);
        assert_eq!(chats[usize::from(n) - 1], (id.as_str(), Some(port)));
    }
    assert_eq!(chats[3].0, "last", "the same port on another host is fine");
    let gate = cluster.server("g").unwrap();
    assert!(gate.frontend, "\"true\" is true");
    assert_eq!((gate.port, gate.client_port), (None, Some(3014)));
    let connector = cluster.server("c").unwrap();
    assert_eq!(
        connector.fields["zone"],
        serde_json::json!([1]),
        "extra fields are kept"
    );
    assert_eq!(connector.fields["serverType"], "connector");
    assert_eq!(cluster.hosted().count(), 6);
    cluster.only(&["c".into()]).unwrap();
    assert_eq!((cluster.hosted().count(), cluster.servers().count()), (1, 6));
    assert!(cluster.only(&["nobody".into()]).unwrap_err().contains("nobody"));
    cluster.set_client_port("c", 5000);
    assert_eq!(cluster.server("c").unwrap().fields["clientPort"], 5000);
}

#[test]
fn what_is_wrong_with_servers() {
    for (text, expected) in [
        ("", "servers.json:1:0: not JSON"),
        (
            "{\n \"development\": {\n  \"a\": [,]\n}}",
            "servers.json:3:9: not JSON",
        ),
        (
            r#"{"production": {}, "test": {}}"#,
            "servers.json:1: development: there is no such environment; there are production, test (-e)",
        ),
        ("[]", "servers.json:1: has to be an object of server types"),
        (r#"{"development": {}}"#, "servers.json:1: names no server"),
        (
            "{\"development\": {\n\"chat\": {}}}",
            "servers.json:2: chat: has to be a list of servers",
        ),
        (
            "{\"development\": {\n\"chat\": [5]}}",
            "servers.json:2: chat[0]: has to be an object",
        ),
        (
            "{\"development\": {\"chat\": [\n{\"host\": \"h\", \"port\": 1}]}}",
            "servers.json:2: chat[0].id: is missing",
        ),
        (
            "{\"development\": {\"chat\": [\n{\"id\": \"a\", \"port\": 1}]}}",
            "servers.json:2: chat[0].host: is missing from a",
        ),
        (
            "{\"development\": {\"chat\": [\n{\"id\": \"a\", \"host\": \"h\"}]}}",
            "servers.json:2: chat[0].port: is missing from a",
        ),
        (
            "{\"development\": {\"chat\": [\n{\"id\": \"a\", \"host\": \"h\", \"port\": 70000}]}}",
            "servers.json:2: chat[0].port: has to be a port, 1 to 65535, not 70000",
        ),
        (
            "{\"development\": {\"c\": [\n{\"id\": \"a\", \"host\": \"h\", \"port\": 1, \"frontend\": true}]}}",
            "servers.json:2: c[0].clientPort: is missing from a",
        ),
        (
            "{\"development\": {\"chat\": [{\"id\": \"a\", \"host\": \"h\", \"port\": 1},\n{\"id\": \"a\", \"host\": \"h\", \"port\": 2}]}}",
            "servers.json:2: chat[1].id: a is the id of the server on line 1 already",
        ),
        (
            "{\"development\": {\"chat\": [{\"id\": \"a\", \"host\": \"h\", \"port\": 1},\n{\"id\": \"b\", \"host\": \"h\", \"port\": 1}]}}",
            "servers.json:2: chat[1].port: 1 is the port of a (port) already",
        ),
        (
            "{\"development\": {\"chat\": [{\"clusterCount\": \"x\", \"host\": \"h\", \"port\": \"1++\"}]}}",
            "servers.json:1: chat[0].clusterCount: has to be a whole number from 1 to 1000",
        ),
        (
            "{\"development\": {\"chat\": [{\"clusterCount\": 2, \"host\": \"h\", \"port\": \"x++\"}]}}",
            "servers.json:1: chat[0].port: \"x++\" has to be a whole number",
        ),
        (
            "{\"development\": {\"a.b\": []}}",
            "servers.json:1: a.b: cannot be the name of a server type",
        ),
    ] {
        let problems = refuse(&[("servers.json", text)]);
        assert!(
            problems.iter().any(|line| line.starts_with(expected)),
            "{text}\n{problems:#?}\n{expected}"
        );
    }
    let none = refuse(&[]);
    assert!(
        none[0].contains("there is no such file") && none[0].contains("--servers"),
        "{none:?}"
    );
}

#[test]
fn what_is_wrong_with_settings() {
    for (text, expected) in [
        (
            "{\n\"conector\": {}}",
            "chathost.json:2: conector: unknown; did you mean connector?",
        ),
        (
            "{\"connector\": {\n\"heartbeet\": 3}}",
            "chathost.json:2: connector.heartbeet: unknown; did you mean heartbeat?",
        ),
        (
            "{\"connector\": {\"zzzzzzzz\": 3}}",
            "chathost.json:1: connector.zzzzzzzz: unknown; known are heartbeat,",
        ),
        (
            "{\"connector\": {\"heartbeat\": \"3\"}}",
            "chathost.json:1: connector.heartbeat: has to be a whole number from 1 to 3600, or null, not \"3\"",
        ),
        (
            "{\"connector\": {\"useDict\": 1}}",
            "chathost.json:1: connector.useDict: has to be true or false, not 1",
        ),
        (
            "{\"all\": {\"limits\": {\n\n\"burst\": 0}}}",
            "chathost.json:3: all.limits.burst: has to be a whole number from 1 to 1000000, not 0",
        ),
        (
            "{\"all\": {\"limits\": []}}",
            "chathost.json:1: all.limits: has to be an object",
        ),
        (
            "{\"all\": {\"limits\": {\"outboxPolicy\": \"wait\"}}}",
            "chathost.json:1: all.limits.outboxPolicy: has to be \"disconnect\" or \"drop-oldest\"",
        ),
        (
            "{\"web\": {\"port\": 1, \"port\": 2}}",
            "chathost.json:1: web.port: stands here twice",
        ),
        (
            "{\"log\": {\"level\": \"\"}}",
            "chathost.json:1: log.level: has to be a string",
        ),
        (
            "{\"development\": {\"web\": {\"prot\": 1}}}",
            "chathost.json:1: web.prot: unknown; did you mean port?",
        ),
        ("{", "chathost.json:1:1: not JSON"),
    ] {
        let problems = refuse(&[("servers.json", SERVERS), ("chathost.json", text)]);
        assert!(
            problems.iter().any(|line| line.starts_with(expected)),
            "{text}\n{problems:#?}\n{expected}"
        );
    }
    // Everything at once, of all files.
    let problems = refuse(&[
        ("servers.json", SERVERS),
        ("chathost.json", "{\"web\": {\"a\": 1, \"b\": 2}}"),
        ("dictionary.json", "[1]"),
        ("master.json", "{\"port\": \"x\"}"),
        ("serverProtos.json", "{\"onChat\": {\"required text a\": 1}}"),
    ]);
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert!(
        problems.contains(&"serverProtos.json: onChat: \"required text a\": no type text".to_owned()),
        "{problems:#?}"
    );
}

#[test]
fn settings_of_a_type_go_before_those_of_all() {
    let text = r#"{
        "all": { "limits": { "burst": 7, "idleSeconds": 8 }, "rpc": { "timeoutSeconds": 1 } },
        "connector": { "heartbeat": 3, "useDict": true, "limits": { "burst": 9 } },
        "gate": { "heartbeat": null }
    }"#;
    let cluster = load_files(
        &[("servers.json", SERVERS), ("chathost.json", text)],
        "development",
    )
    .unwrap();
    let connector = cluster.settings.for_type("connector");
    assert_eq!((connector.limits.burst, connector.limits.idle_seconds), (9, 8));
    assert_eq!(
        connector.connector.silence(&connector.limits),
        std::time::Duration::from_secs(6)
    );
    assert!(connector.connector.use_dict);
    let gate = cluster.settings.for_type("gate");
    assert_eq!((gate.limits.burst, gate.connector.heartbeat), (7, None));
    assert_eq!(
        gate.connector.silence(&gate.limits),
        std::time::Duration::from_secs(8)
    );
    assert_eq!(cluster.settings.for_type("chat").rpc.timeout_seconds, 1);
}

#[test]
fn environments_as_folders() {
    let own = r#"{"chat": [{"id": "x", "host": "h", "port": 1}]}"#;
    let files = [
        ("production/servers.json", own),
        ("production/dictionary.json", r#"["onChat"]"#),
        (
            "production/master.json",
            r#"{"id": "m", "host": "0.0.0.0", "port": 4}"#,
        ),
    ];
    let cluster = load_files(&files, "production").unwrap();
    assert_eq!(
        (cluster.dictionary, cluster.master.port),
        (vec!["onChat".to_owned()], 4)
    );
    assert_eq!(cluster.warnings.len(), 1, "nobody can connect");
}

/// The demo's files are right, and `chathost.json` shows every limit there is.
#[test]
fn the_demo() {
    for folder in ["config", "config/single"] {
        for env in ["development", "production"] {
            let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
            let options = LoadOptions {
                servers_file: config.join("servers.json"),
                base: ".".into(),
                env: env.into(),
            };
            let cluster = load(&options).unwrap();
            assert_eq!(cluster.settings.for_type("chat").limits, LimitSettings::default());
            assert_eq!(
                cluster.settings.for_type("connector").connector.heartbeat,
                Some(3)
            );
            assert!(cluster.warnings.is_empty() && cluster.server_protos.contains("onChat"));
            let count = if folder == "config" { 3 } else { 1 };
            assert_eq!(
                (
                    cluster.servers_of("connector").len(),
                    cluster.servers_of("chat").len()
                ),
                (count, count)
            );
        }
    }
}
