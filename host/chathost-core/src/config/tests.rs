//! Files as people write them, and what they are told.

mod mistakes;

use super::*;
use std::{collections::BTreeSet, fs, path::Path};

const SERVERS: &str = r#"{ "development": {
  "gate": [ {"id": "g", "host": "127.0.0.1", "clientPort": 3014, "frontend": "true"} ],
  "connector": [ {"id": "c", "host": "127.0.0.1", "port": 4050, "clientPort": 3050, "frontend": true, "zone": [1]} ],
  "chat": [ {"clusterCount": 3, "host": "127.0.0.1", "port": "6050++"}, {"id": "last", "host": "h", "port": 6050},
            {"clusterCount": "1", "host": "h", "port": "7000++"} ]
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
    assert_eq!(
        chats,
        [
            ("cluster-server-chat-0", Some(6050)),
            ("cluster-server-chat-1", Some(6051)),
            ("cluster-server-chat-2", Some(6052)),
            // The same port on another host is fine, and the numbers go on.
            ("last", Some(6050)),
            ("cluster-server-chat-3", Some(7000)),
        ]
    );
    let counted = cluster.server("cluster-server-chat-1").unwrap();
    assert_eq!(counted.fields["port"], 6051, "a number, and no text");
    let gate = cluster.server("g").unwrap();
    assert!(gate.frontend, "\"true\" is true");
    assert_eq!(gate.fields["frontend"], true);
    assert!(!counted.frontend && !counted.fields.contains_key("frontend"));
    assert_eq!((gate.port, gate.client_port), (None, Some(3014)));
    let connector = cluster.server("c").unwrap();
    assert_eq!(
        connector.fields["zone"],
        serde_json::json!([1]),
        "extra fields are kept"
    );
    assert_eq!(connector.fields["serverType"], "connector");
    assert_eq!(cluster.hosted().count(), 7);
    cluster.only(&["c".into()]).unwrap();
    assert_eq!((cluster.hosted().count(), cluster.servers().count()), (1, 7));
    assert!(cluster.only(&["nobody".into()]).unwrap_err().contains("nobody"));
    cluster.set_client_port("c", 5000);
    assert_eq!(cluster.server("c").unwrap().fields["clientPort"], 5000);
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
    // Beside servers.json goes first, each file for itself.
    let beside = [files[0], files[1], ("dictionary.json", "{}")];
    assert!(load_files(&beside, "production").unwrap().dictionary.is_empty());
    // Somebody who forgot -e.
    let problems = refuse(&files);
    assert_eq!(
        problems,
        ["servers.json: there is no such file; there is one for production: name the environment with -e"]
    );
}

#[test]
fn environments_that_some_files_do_not_have() {
    let files = [
        (
            "servers.json",
            r#"{"development": {"c": [{"id": "c", "host": "h", "clientPort": 1, "frontend": true}]}, "test": {}}"#,
        ),
        (
            "master.json",
            r#"{"test": {"port": 1}, "production": {"port": 2}}"#,
        ),
        ("chathost.json", r#"{"test": {"all": {"limits": {"burst": 1}}}}"#),
    ];
    let cluster = load_files(&files, "development").unwrap();
    assert_eq!(cluster.master.port, 3005);
    assert_eq!(cluster.settings.for_type("c").limits, LimitSettings::default());
    let nothing = "1: development: nothing is set for this environment, so the defaults apply";
    for (warning, file) in cluster.warnings.iter().zip(["master", "chathost"]) {
        assert!(warning.ends_with(&format!("{file}.json:{nothing}")), "{warning}");
    }
    assert_eq!(cluster.warnings.len(), 2);
}

#[test]
fn what_is_odd_and_not_wrong() {
    let text = r#"{"development": {"chat": [
        {"id": "a", "host": "h"},
        {"id": "b", "host": "h", "port": 1, "clientPort": 2, "wsPort": 3}
    ]}}"#;
    let cluster = load_files(&[("servers.json", text)], "development").unwrap();
    for (place, expected) in [
        "servers.json:2: chat[0].port: is missing from a, so that no other server can call it",
        "servers.json:3: chat[1].clientPort: b is no frontend, so nobody listens there",
        "servers.json:3: chat[1].wsPort: is deprecated",
        "servers.json:1: no server is a frontend: nobody can connect",
    ]
    .into_iter()
    .enumerate()
    {
        let warning = &cluster.warnings[place];
        assert!(warning.contains(expected), "{warning}\n{expected}");
    }
    assert_eq!(cluster.warnings.len(), 4);
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

/// An operator who wonders what a key of the demo's `chathost.json` means finds it at its field.
#[test]
fn every_key_is_documented() {
    fn keys(value: &serde_json::Value, found: &mut BTreeSet<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            found.insert(key.clone());
            keys(value, found);
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/chathost.json");
    let file: serde_json::Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let mut found = BTreeSet::new();
    for env in ["development", "production"] {
        for (_, section) in file[env].as_object().unwrap() {
            keys(section, &mut found);
        }
    }
    let documentation = include_str!("settings.rs");
    for key in found {
        assert!(
            documentation.contains(&format!("/// `{key}`: ")),
            "{key} stands in config/chathost.json, and at no field"
        );
    }
}
