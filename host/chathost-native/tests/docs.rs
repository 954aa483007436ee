//! What plugins/README.md and the template say works.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it cannot go on"
)]

mod support;

use chathost_core::{handler::HandlerSource, host::Host};
use chathost_native::Library;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use support::{Client, LAB, Source, cluster, compile, port};
use tempfile::TempDir;

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../plugins")
        .canonicalize()
        .unwrap()
}

fn readme() -> String {
    fs::read_to_string(plugins().join("README.md")).unwrap()
}

/// The first block of this language that has this in it, without the indentation of a list.
fn block(language: &str, with: &str) -> String {
    let readme = readme();
    let fence = format!("```{language}\n");
    let blocks = readme
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let block = blocks.into_iter().find(|block| block.contains(with)).unwrap();
    let lines = block.lines().map(|line| line.strip_prefix("   ").unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

async fn start(library: &Path) -> (Host, Client, TempDir) {
    let (dir, cluster) = cluster("hello", &[]);
    let source = Arc::new(Source::default());
    source.set("hello", Library::open(library).unwrap());
    let host = Host::start(cluster, source as Arc<dyn HandlerSource>)
        .await
        .unwrap();
    let client = Client::ready(port(&host, "hello")).await;
    (host, client, dir)
}

async fn check(library: &Path, route: &str, body: Value, expected: Value) {
    let (host, mut client, _dir) = start(library).await;
    assert_eq!(client.request(route, body).await, expected);
    host.stop().await;
}

/// Builds and tests a project; what they have in common is built once.
fn cargo(project: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs");
    // The versions that this workspace has are at hand.
    fs::copy(plugins().join("../Cargo.lock"), project.join("Cargo.lock")).unwrap();
    for command in ["test", "build"] {
        let status = Command::new(env!("CARGO"))
            .args([command, "--quiet", "--offline", "--target-dir"])
            .arg(&target)
            .current_dir(project)
            .status();
        assert!(status.unwrap().success(), "cargo {command}");
    }
    target.join("debug")
}

fn sdk() -> String {
    format!("{{ path = {:?} }}", plugins().join("chathost-plugin"))
}

#[tokio::test]
async fn plugins_in_rust() {
    let hello = json!({ "name": "Alice" });

    let project = tempfile::tempdir().unwrap();
    let manifest = block("toml", "[package]");
    let (before, after) = manifest.split_once("chathost-plugin = ").unwrap();
    let rest = after.split_once('\n').unwrap().1;
    let manifest = format!("{before}chathost-plugin = {}\n{rest}\n[workspace]\n", sdk());
    fs::create_dir(project.path().join("src")).unwrap();
    fs::write(project.path().join("Cargo.toml"), manifest).unwrap();
    fs::write(project.path().join("src/lib.rs"), block("rust", "export_plugin!")).unwrap();
    let library = cargo(project.path()).join("libhello.so");
    check(
        &library,
        "hello.helloHandler.hello",
        hello.clone(),
        json!({ "text": "Hello, Alice!" }),
    )
    .await;

    let project = tempfile::tempdir().unwrap();
    fs::create_dir(project.path().join("src")).unwrap();
    for (from, to) in [
        ("Cargo.toml.in", "Cargo.toml"),
        ("src/lib.rs", "src/lib.rs"),
        ("README.md", "README.md"),
    ] {
        let text = fs::read_to_string(plugins().join("template").join(from)).unwrap();
        let text = text
            .replace("{{name}}", "my-plugin")
            .replace("{{library}}", "my_plugin")
            .replace("{{group}}", "myPlugin")
            .replace("{{path}}", "plugins/my-plugin")
            .replace("{{chathost-plugin}}", &sdk());
        assert!(!text.contains("{{"), "{from} is not filled in");
        fs::write(project.path().join(to), text).unwrap();
    }
    let library = cargo(project.path()).join("libmy_plugin.so");
    check(
        &library,
        "hello.myPluginHandler.hello",
        hello,
        json!({ "text": "Hello, Alice!", "count": 1 }),
    )
    .await;
}

#[tokio::test]
async fn a_plugin_in_c() {
    let dir = tempfile::tempdir().unwrap();
    let (source, library) = (dir.path().join("echo.c"), dir.path().join("libecho.so"));
    fs::write(&source, block("c", "chathost_plugin_entry")).unwrap();
    compile(&source, &library, &[]);
    check(
        &library,
        "hello.echoHandler.echo",
        json!({ "any": 1 }),
        json!({ "any": 1 }),
    )
    .await;
}

#[tokio::test]
async fn every_name_that_is_listed_is_known() {
    let (host, mut client, _dir) = start(&LAB).await;
    let readme = readme();
    let table = readme.split("| name | arguments | result |").nth(1).unwrap();
    let mut names = 0;
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let first = row.split('|').nth(1).unwrap();
        let service = first.split(['`', '.']).nth(1).unwrap();
        for name in first.split('`').skip(1).step_by(2) {
            let name = if name.starts_with('.') {
                format!("{service}{name}")
            } else {
                name.to_owned()
            };
            let told = client.request("hello.labHandler.ask", json!(name)).await;
            assert!(
                !told.as_str().unwrap().contains("has no function"),
                "{name}: {told}"
            );
            names += 1;
        }
    }
    assert!(names > 40, "{names}");
    host.stop().await;
}
