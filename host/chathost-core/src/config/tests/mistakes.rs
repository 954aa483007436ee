//! Files with mistakes in them, and what whoever made them is told: file, line, key, cause and remedy.

use super::*;

/// Loads a file beside good ones, and expects exactly these lines; `…` stands for the rest of one.
#[track_caller]
fn told(name: &str, text: &str, expected: &[&str]) {
    let mut files = vec![(name, text)];
    if name != "servers.json" {
        files.push(("servers.json", SERVERS));
    }
    let lines = refuse(&files);
    let fits = |line: &str, expected: &str| match expected.strip_suffix('…') {
        Some(start) => line.starts_with(start),
        None => line == expected,
    };
    assert!(
        lines.len() == expected.len()
            && lines
                .iter()
                .zip(expected)
                .all(|(line, expected)| fits(line, expected)),
        "{text}\n{lines:#?}\n{expected:#?}"
    );
}

/// The servers of a type `chat`, from line 2 on.
#[track_caller]
fn told_of_chat(list: &str, expected: &[&str]) {
    let text = format!("{{\"development\": {{\"chat\": [\n{list}]}}}}");
    told("servers.json", &text, expected);
}

#[test]
fn files() {
    assert_eq!(
        refuse(&[]),
        ["servers.json: there is no such file; name your servers.json with --servers"]
    );
    told("servers.json", "", &["servers.json:1:0: not JSON: EOF…"]);
    told(
        "servers.json",
        "{\n \"development\": {\n  \"a\": [,]\n}}",
        &["servers.json:3:9: not JSON: expected value"],
    );
    told(
        "chathost.json",
        "{\"all\": {},\n}",
        &["chathost.json:2:1: not JSON: trailing comma"],
    );
    told(
        "master.json",
        "{\"port\": 1e999}",
        &["master.json:1:14: not JSON: number out of range"],
    );
    // A folder where a file should be.
    told("master.json/file", "", &["master.json: cannot be read: …"]);
    let folder = tempfile::tempdir().unwrap();
    let servers_file = folder.path().join("servers.json");
    fs::write(&servers_file, b"\"\xff\"").unwrap();
    let options = LoadOptions {
        servers_file,
        base: ".".into(),
        env: "development".into(),
    };
    let ConfigErrors(lines) = load(&options).unwrap_err();
    assert!(
        lines.len() == 1 && lines[0].ends_with("; save it as UTF-8"),
        "{lines:?}"
    );
}

#[test]
fn environments() {
    told(
        "servers.json",
        "{\"production\": {}, \"test\": {}}",
        &[
            "servers.json:1: development: there is no such environment; there are production, test: name one with -e",
        ],
    );
    told(
        "chathost.json",
        "{\"developement\": {}, \"production\": {}}",
        &["chathost.json:1: developement: there is no such environment; did you mean development?"],
    );
    told(
        "chathost.json",
        "{\"developement\": {}}",
        &["chathost.json:1: developement: unknown; did you mean development?"],
    );
    told(
        "chathost.json",
        "{\"development\": {},\n\"development\": {}}",
        &["chathost.json:2: development: stands here twice, first on line 1; remove one"],
    );
}

#[test]
fn servers() {
    for (text, expected) in [
        (
            "[]",
            "servers.json:1: has to be an object of server types, { \"chat\": [ … ], … }",
        ),
        (
            "{\"development\": {}}",
            "servers.json:1: names no server; a type is a list of them…",
        ),
        (
            "{\"development\": {\n\"chat\": {}}}",
            "servers.json:2: chat: has to be a list of servers, [ { \"id\": … }, … ]",
        ),
        (
            "{\"development\": {\"chat\": [],\n\"chat\": []}}",
            "servers.json:2: chat: stands here twice, first on line 1; remove one",
        ),
        (
            "{\"development\": {\"a.b\": []}}",
            "servers.json:1: a.b: cannot be the name of a server type…",
        ),
        (
            "{\"development\": {\"a\\u0000\": []}}",
            "servers.json:1: a\0: cannot be the name of a server type…",
        ),
    ] {
        told("servers.json", text, &[expected]);
    }
}

#[test]
fn fields_of_a_server() {
    for (entry, expected) in [
        (
            "5",
            "chat[0]: has to be an object, { \"id\": …, \"host\": …, \"port\": … }",
        ),
        (
            r#"{"host": "h", "port": 1}"#,
            "chat[0].id: is missing; give a name that no other server has",
        ),
        (
            r#"{"id": 7, "host": "h", "port": 1}"#,
            "chat[0].id: has to be a string that is not empty, not 7",
        ),
        (
            r#"{"id": "a\u0000b", "host": "h", "port": 1}"#,
            r#"chat[0].id: "a\0b" has a space, a comma or a control character in it; use letters, digits and -"#,
        ),
        (
            r#"{"id": "a", "port": 1}"#,
            "chat[0].host: is missing from a; say where it runs, like \"127.0.0.1\"",
        ),
        (
            r#"{"id": "a", "host": "", "port": 1}"#,
            "chat[0].host: has to be a string that is not empty, not \"\"",
        ),
        (
            r#"{"id": "a", "host": "h", "port": 70000}"#,
            "chat[0].port: has to be a port, 1 to 65535 (0: any that is free), not 70000",
        ),
        (
            r#"{"id": "a", "host": "h", "port": "1++"}"#,
            "chat[0].port: has to be a port, 1 to 65535 (0: any that is free), not \"1++\"; only an entry with \
             clusterCount counts up",
        ),
        (
            r#"{"id": "a", "host": "h", "port": 1, "clientHost": 5}"#,
            "chat[0].clientHost: has to be a string that is not empty, not 5",
        ),
        (
            r#"{"id": "a", "host": "h", "port": 1, "frontend": "yes"}"#,
            "chat[0].frontend: has to be true or false, not \"yes\"",
        ),
        (
            r#"{"id": "a", "host": "h", "port": 1, "frontend": true}"#,
            "chat[0].clientPort: is missing from a; a frontend needs a port for its clients",
        ),
        (
            r#"{"id": "a", "host": "h", "port": 1, "max-connections": 0}"#,
            "chat[0].max-connections: has to be a whole number from 1, not 0",
        ),
    ] {
        told_of_chat(entry, &[&format!("servers.json:2: {expected}")]);
    }
    // The line is the field's, and everything that is wrong with a server is said.
    told_of_chat(
        "{\n\"id\": \"\",\n\"port\": -1,\n\"port\": 2}",
        &[
            "servers.json:5: chat[0].port: stands here twice, first on line 4; remove one",
            "servers.json:3: chat[0].id: has to be a string that is not empty, not \"\"",
            "servers.json:2: chat[0].host: is missing from this server; …",
            "servers.json:4: chat[0].port: has to be a port, …",
        ],
    );
}

#[test]
fn servers_beside_each_other() {
    let a = r#"{"id": "a", "host": "127.0.0.1", "port": 1, "clientPort": 2, "frontend": true}"#;
    for (other, expected) in [
        (
            r#"{"id": "a", "host": "127.0.0.1", "port": 3}"#,
            "chat[1].id: a is the id of the server on line 2 already; choose another",
        ),
        (
            r#"{"id": "b", "host": "127.0.0.1", "port": 1}"#,
            "chat[1].port: 1 is the port of a (port, line 2) already; choose another",
        ),
        (
            r#"{"id": "b", "host": "localhost", "port": 2}"#,
            "chat[1].port: 2 is the port of a (clientPort, line 2) already; choose another",
        ),
        (
            r#"{"id": "b", "host": "127.0.0.1", "port": 4, "clientPort": 4, "frontend": true}"#,
            "chat[1].port: 4 is the port of b (clientPort, line 3) already; choose another",
        ),
    ] {
        told_of_chat(
            &format!("{a},\n{other}"),
            &[&format!("servers.json:3: {expected}")],
        );
    }
}

#[test]
fn entries_that_stand_for_several() {
    for (entry, expected) in [
        (
            r#"{"clusterCount": "x", "host": "h", "port": "1++"}"#,
            "chat[0].clusterCount: has to be a whole number from 1 to 1000, not \"x\"",
        ),
        (
            r#"{"clusterCount": 1001, "host": "h", "port": "1++"}"#,
            "chat[0].clusterCount: has to be a whole number from 1 to 1000, not 1001",
        ),
        (
            r#"{"clusterCount": 2, "host": "h", "port": "x++"}"#,
            "chat[0].port: \"x++\" has to be a whole number before the ++, like \"3050++\"",
        ),
        // Once, not for each server.
        (
            r#"{"clusterCount": 1000, "port": "6050++"}"#,
            "chat[0].host: is missing from cluster-server-chat-0; say where it runs, like \"127.0.0.1\"",
        ),
        (
            r#"{"clusterCount": 1000, "host": "h", "port": "65500++"}"#,
            "chat[0].port: has to be a port, 1 to 65535 (0: any that is free), not 65536",
        ),
        (
            r#"{"clusterCount": 2, "host": "h", "port": 6050}"#,
            "chat[0].port: 6050 is the port of cluster-server-chat-0 (port, line 2) already; choose another",
        ),
    ] {
        told_of_chat(entry, &[&format!("servers.json:2: {expected}")]);
    }
}

#[test]
fn settings() {
    for (text, expected) in [
        (
            "{\n\"conector\": {}}",
            "2: conector: unknown; did you mean connector?",
        ),
        (
            "{\"connector\": {\n\"heartbeet\": 3}}",
            "2: connector.heartbeet: unknown; did you mean heartbeat?",
        ),
        (
            "{\"connector\": {\"zzzzzzzz\": 3}}",
            "1: connector.zzzzzzzz: unknown; known are heartbeat, …",
        ),
        (
            "{\"connector\": {\"heartbeat\": \"3\"}}",
            "1: connector.heartbeat: has to be a whole number from 1 to 3600, or null, not \"3\"",
        ),
        (
            "{\"connector\": {\n\"heartbeat\": 5, \"heartbeatTimeout\": 5}}",
            "1: connector.heartbeatTimeout: 5 has to be more than heartbeat, 5: nobody could stay",
        ),
        (
            "{\"connector\": {\"useDict\": 1}}",
            "1: connector.useDict: has to be true or false, not 1",
        ),
        (
            "{\"all\": {\"limits\": {\n\n\"burst\": 0}}}",
            "3: all.limits.burst: has to be a whole number from 1 to 1000000, not 0",
        ),
        (
            "{\"all\": {\"limits\": []}}",
            "1: all.limits: has to be an object, { … }",
        ),
        (
            "{\"all\": {\"limits\": {\"outboxPolicy\": \"wait\"}}}",
            "1: all.limits.outboxPolicy: has to be \"disconnect\" or \"drop-oldest\", not \"wait\"",
        ),
        (
            "{\"all\": {\"limits\": {\"latestRoutes\": [\"onMove\",\n 2]}}}",
            "2: all.limits.latestRoutes[1]: has to be a string, not 2",
        ),
        (
            "{\"web\": {\"port\": 1, \"port\": 2}}",
            "1: web.port: stands here twice, first on line 1; remove one",
        ),
        (
            "{\"web\": {\"port\": -1}}",
            "1: web.port: has to be a port, 0 to 65535 (0: any that is free), not -1",
        ),
        (
            "{\"log\": {\"level\": \"\"}}",
            "1: log.level: has to be off, error, warn, info, debug or trace, or target=level, with commas between, not \"\"",
        ),
        (
            "{\"stop\": {\"graceSeconds\": 601}}",
            "1: stop.graceSeconds: has to be a whole number from 0 to 600, not 601",
        ),
        (
            "{\"threads\": -1}",
            "1: threads: has to be a whole number from 0 to 1024, not -1",
        ),
        (
            "{\"handlers\": {\"watch\": 1}}",
            "1: handlers.watch: has to be true or false, not 1",
        ),
        (
            "{\"development\": {\"web\": {\"prot\": 1}}}",
            "1: web.prot: unknown; did you mean port?",
        ),
    ] {
        told("chathost.json", text, &[&format!("chathost.json:{expected}")]);
    }
}

#[test]
fn protos() {
    told(
        "serverProtos.json",
        "{\n\"on\": {},\n\"onChat\": {\n\"required string a\": 1,\n\"required text b\": 2}}",
        &["serverProtos.json:5: onChat: \"required text b\": no type text"],
    );
    told(
        "clientProtos.json",
        "{\n\"a.b.c\": 5}",
        &[
            "clientProtos.json:2: a.b.c: not an object of fields: invalid type: integer `5`, expected an object at line 1 column 1",
        ],
    );
    told(
        "clientProtos.json",
        "[]",
        &["clientProtos.json:1: not an object of messages: …"],
    );
    told(
        "development/serverProtos.json",
        "{\"onChat\": {\n\"string a\": 1}}",
        &["development/serverProtos.json:2: onChat: \"string a\": a field is…"],
    );
}

#[test]
fn everything_at_once_of_all_files() {
    let lines = refuse(&[
        ("servers.json", r#"{"development": {"chat": [{"id": "a"}]}}"#),
        ("chathost.json", r#"{"web": {"a": 1, "b": 2}}"#),
        ("dictionary.json", r#"{"onChat": 1}"#),
        ("master.json", r#"{"port": "x"}"#),
        ("serverProtos.json", r#"{"onChat": {"required text a": 1}}"#),
    ]);
    let places: Vec<&str> = lines.iter().filter_map(|line| line.split(": ").next()).collect();
    let expected = [
        "servers",
        "master",
        "dictionary",
        "serverProtos",
        "chathost",
        "chathost",
    ];
    assert_eq!(
        places,
        expected.map(|name| format!("{name}.json:1")),
        "{lines:#?}"
    );
}

/// What is wrong with one file is not blamed on another.
#[test]
fn one_mistake_is_one_line() {
    let settings = r#"{"connector": {"heartbeat": 3}, "gate": {}}"#;
    for servers in ["{", r#"{"production": {}}"#, r#"{"development": []}"#] {
        let lines = refuse(&[("servers.json", servers), ("chathost.json", settings)]);
        assert!(
            lines.len() == 1 && lines[0].starts_with("servers.json:1"),
            "{lines:#?}"
        );
    }
}
