//! The program as people run it: start, list, reload, rollback, check, signals, exit codes.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

struct Project {
    folder: TempDir,
}

struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Project {
    /// The demo with one server of each type, on free ports.
    fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let project = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for name in ["app", "gate", "connector", "chat"] {
            let text = fs::read_to_string(root.join(format!("handlers/{name}.lua"))).unwrap();
            project.write(&format!("handlers/{name}.lua"), &text);
        }
        let frontend = |id: &str| json!([{ "id": id, "host": "127.0.0.1", "port": 0, "clientPort": 0, "frontend": true }]);
        let servers = json!({ "development": {
            "gate": frontend("gate-1"),
            "connector": frontend("connector-1"),
            "chat": [{ "id": "chat-1", "host": "127.0.0.1", "port": 0 }],
        } });
        project.write("config/servers.json", &servers.to_string());
        project.write(
            "config/chathost.json",
            r#"{ "development": { "web": { "port": 0 } } }"#,
        );
        // The commands have to know it; nothing else takes it in the meantime, or the test says so.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        project.write(
            "config/master.json",
            &json!({ "id": "master", "host": "127.0.0.1", "port": port }).to_string(),
        );
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chathost"));
        command.args(args).current_dir(self.folder.path());
        command
    }

    /// A command that ends by itself; one that does not is ended, and fails the test by its exit code.
    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command
            .args(["20", env!("CARGO_BIN_EXE_chathost")])
            .args(args)
            .current_dir(self.folder.path());
        command.output().unwrap()
    }

    fn start(&self) -> Running {
        self.start_until(&["start"], "open http://127.0.0.1:")
    }

    fn start_until(&self, args: &[&str], line: &str) -> Running {
        let mut child = self
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut running = Running { child, lines };
        running.line_with(line);
        running
    }

    fn list(&self) -> Vec<Value> {
        let output = self.run(&["list", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }

    fn generation(&self, id: &str) -> String {
        let rows = self.list();
        rows.iter().find(|row| row["serverId"] == id).unwrap()["generation"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

impl Running {
    fn line_with(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(
                self.lines.read_line(&mut line).unwrap() > 0,
                "the output ended before {part:?}"
            );
            if line.contains(part) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Asks again until it is so: the watcher tells nobody.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what} did not happen");
    }
}

#[test]
fn a_day_in_the_life() {
    let project = Project::new();
    let mut host = project.start();
    let table = text(&project.run(&["list"]));
    let header = "serverId    serverType pid";
    assert!(
        table.contains(header) && table.contains("rss(M) heapTotal(M) heapUsed(M) uptime(m) generation"),
        "{table}"
    );
    assert!(project.generation("chat-1").starts_with("1-"));

    let chat = fs::read_to_string(project.path("handlers/chat.lua")).unwrap();
    project.write(
        "handlers/chat.lua",
        &chat.replace("is not in this room", "has left"),
    );
    until("the save", || project.generation("chat-1").starts_with("2-"));
    assert!(
        project.generation("connector-1").starts_with("1-"),
        "only what changed is replaced"
    );
    // As editors do: another file, renamed.
    project.write("handlers/.chat.lua.new", &chat);
    fs::rename(
        project.path("handlers/.chat.lua.new"),
        project.path("handlers/chat.lua"),
    )
    .unwrap();
    until("the rename", || project.generation("chat-1").starts_with("3-"));

    let rollback = project.run(&["rollback", "chat"]);
    assert!(
        rollback.status.success() && text(&rollback).starts_with("chat: 4-"),
        "{}",
        text(&rollback)
    );
    project.write("handlers/chat.lua", "return {");
    let reload = project.run(&["reload", "chat"]);
    assert_eq!(reload.status.code(), Some(1));
    assert!(
        text(&reload).contains("handlers/chat.lua:1: "),
        "{}",
        text(&reload)
    );
    project.write("handlers/chat.lua", &chat);
    let reload = project.run(&["reload", "--json"]);
    let rows: Vec<Value> = serde_json::from_slice(&reload.stdout).unwrap();
    assert!(
        rows.len() == 3 && rows.iter().all(|row| row["problems"] == json!([])),
        "{rows:?}"
    );
    let unknown = project.run(&["reload", "caht"]);
    assert!(
        unknown.status.code() == Some(1) && text(&unknown).contains("no server type caht"),
        "{}",
        text(&unknown)
    );

    // The token is for this user only.
    let token = fs::read_dir(project.path("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let token = token
        .into_iter()
        .find(|path| path.extension().is_some_and(|kind| kind == "token"))
        .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&token).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let good = fs::read_to_string(&token).unwrap();
    fs::write(&token, "0".repeat(good.len())).unwrap();
    let refused = project.run(&["list"]);
    assert!(
        refused.status.code() == Some(2) && text(&refused).contains("token"),
        "{}",
        text(&refused)
    );

    // A second one of the same project is told so.
    let second = project.run(&["start"]);
    assert!(second.status.code() == Some(2) && text(&second).contains("does this project run already?"));

    host.signal("TERM");
    host.line_with("stopping");
    assert_eq!(host.exit_code(), Some(0));
    assert!(!token.exists(), "a host that is gone leaves no token");
    let log = fs::read_dir(project.path("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .next()
        .unwrap();
    assert!(
        fs::read_to_string(log)
            .unwrap()
            .contains("all servers startup in")
    );
    let gone = project.run(&["list"]);
    assert!(
        gone.status.code() == Some(2) && text(&gone).contains("is the host running?"),
        "{}",
        text(&gone)
    );
}

#[test]
fn hangup_reloads_and_interrupt_ends() {
    let project = Project::new();
    project.write(
        "config/chathost.json",
        r#"{ "web": { "port": 0 }, "handlers": { "watch": false } }"#,
    );
    let host = project.start();
    let gate = fs::read_to_string(project.path("handlers/gate.lua")).unwrap();
    project.write("handlers/gate.lua", &format!("{gate}\n-- changed\n"));
    host.signal("HUP");
    until("the hangup", || project.generation("gate-1").starts_with("2-"));
    host.signal("INT");
    assert_eq!(host.exit_code(), Some(0));
}

/// Servers on one thread are the servers they are elsewhere: in lists, in the log, in what a client gets of them.
#[test]
fn servers_share_threads() {
    let project = Project::new();
    let server = |id: &str| json!({ "id": id, "host": "127.0.0.1", "port": 0 });
    let frontend =
        |id: &str| json!({ "id": id, "host": "127.0.0.1", "port": 0, "clientPort": 0, "frontend": true });
    let servers = json!({ "development": {
        "gate": [frontend("gate-1")],
        "connector": [frontend("connector-1"), frontend("connector-2")],
        "chat": [server("chat-1"), server("chat-2")],
    } });
    project.write("config/servers.json", &servers.to_string());
    project.write(
        "config/chathost.json",
        r#"{ "threads": 1000, "web": { "port": 0 }, "handlers": { "watch": false } }"#,
    );
    let app = fs::read_to_string(project.path("handlers/app.lua")).unwrap();
    let says = "print('loaded')\napp:setTimeout(function() print('ticked') end, 1)\n";
    project.write("handlers/app.lua", &format!("{says}{app}"));
    let ids = ["chat-1", "chat-2", "connector-1", "connector-2", "gate-1"];
    for (args, shared) in [
        (["start", "--threads", "2"].as_slice(), 2),
        (&["start", "--threads=1"], 1),
        (&["start"], 0),
    ] {
        let mut host = project.start_until(args, "open http://127.0.0.1:");
        let mut rows: Vec<_> = project.list();
        rows.retain(|row| row["serverType"] != "master");
        let listed: Vec<_> = rows.iter().map(|row| row["serverId"].as_str().unwrap()).collect();
        assert_eq!(listed, ids, "in the order of the file");
        let mut names: Vec<_> = fs::read_dir(format!("/proc/{}/task", host.child.id()))
            .unwrap()
            .filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok())
            .map(|name| name.trim().to_owned())
            .filter(|name| name == "servers" || ids.contains(&name.as_str()))
            .collect();
        names.sort_unstable();
        let expected = if shared > 0 {
            vec!["servers"; shared]
        } else {
            ids.to_vec()
        };
        assert_eq!(names, expected);
        host.signal("TERM");
        let mut log = String::new();
        std::io::Read::read_to_string(&mut host.lines, &mut log).unwrap();
        assert_eq!(host.exit_code(), Some(0), "{log}");
    }
    let log = fs::read_dir(project.path("logs")).unwrap().next().unwrap();
    let log = fs::read_to_string(log.unwrap().path()).unwrap();
    for said in ["loaded", "ticked"] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(said)).collect();
        for id in ids {
            let of = lines.iter().filter(|line| line.contains(&format!("{{id={id}}}")));
            assert_eq!(of.count(), 3, "{id} has {said}: {lines:#?}");
        }
    }
}

/// One clear message with file, key or line and the remedy, and exit code 2.
#[test]
fn mistakes() {
    for (file, content, command, expected) in [
        (
            "config/servers.json",
            "{",
            "start",
            "config/servers.json:1:1: not JSON",
        ),
        (
            "config/chathost.json",
            "{ \"web\": { \"prot\": 1 } }",
            "start",
            "config/chathost.json:1: web.prot: unknown; did you mean port?",
        ),
        (
            "config/chathost.json",
            "{ \"log\": { \"level\": \"loud\" } }",
            "start",
            "log.level",
        ),
        (
            "handlers/chat.lua",
            "return {\n  chatHandler = = 1 }",
            "start",
            "handlers/chat.lua:2: ",
        ),
        (
            "handlers/chat.lua",
            "return {\n  chatHandler = = 1 }",
            "check",
            "handlers/chat.lua:2: ",
        ),
        (
            "handlers/app.lua",
            "app:rout('chat', 'rid')",
            "check",
            "handlers/app.lua:1: ",
        ),
        (
            "config/serverProtos.json",
            "{ \"onChat\": { \"required text a\": 1 } }",
            "check",
            "serverProtos.json",
        ),
    ] {
        let project = Project::new();
        project.write(file, content);
        let output = project.run(&[command]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(expected), "{expected}\n{}", text(&output));
    }
    let project = Project::new();
    fs::remove_file(project.path("handlers/chat.lua")).unwrap();
    let output = project.run(&["start"]);
    assert!(
        output.status.code() == Some(2) && text(&output).contains("handlers/chat.lua"),
        "{}",
        text(&output)
    );

    let project = Project::new();
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let servers = fs::read_to_string(project.path("config/servers.json")).unwrap();
    project.write(
        "config/servers.json",
        &servers.replacen("\"clientPort\":0", &format!("\"clientPort\":{port}"), 1),
    );
    let output = project.run(&["start"]);
    let complaint = format!("port {port} is in use");
    assert!(
        output.status.code() == Some(2) && text(&output).contains(&complaint),
        "{}",
        text(&output)
    );

    let output = project.run(&["start", "--only", "chat-9"]);
    assert!(
        output.status.code() == Some(2) && text(&output).contains("chat-9"),
        "{}",
        text(&output)
    );
    assert_eq!(project.run(&["stort"]).status.code(), Some(2));
    assert!(project.run(&["check", "-s", "nowhere.json"]).status.code() == Some(2));
}

/// Several processes of one project on a machine: the first has the admin address, the others go without.
#[test]
fn parts_of_a_cluster() {
    let project = Project::new();
    let whole = project.start();
    let part = project.start_until(&["start", "--only", "connector-1"], "connector-1");
    assert_eq!(project.list().len(), 4, "the first still answers");
    for host in [part, whole] {
        host.signal("TERM");
        assert_eq!(host.exit_code(), Some(0));
    }
}
