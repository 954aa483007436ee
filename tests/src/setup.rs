//! What a test's cluster is made of: servers, settings, scripts; written into a temporary folder when it starts.

use crate::{Cluster, root};
use chathost::{Instance, Options, StartError};
use pomelo_protocol::Protos;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// The recipe. Each method adds to it.
#[derive(Debug, Clone)]
pub struct Setup {
    servers: Map<String, Value>,
    chathost: Value,
    /// By their path below the base directory.
    files: BTreeMap<PathBuf, String>,
    only: Vec<String>,
}

impl Setup {
    /// The demo's scripts on `gate-1`, `connector-1` and `chat-1`: no heartbeat, no dictionary, no protobuf.
    pub fn demo() -> Self {
        Self::connector("")
            .folder("handlers", &root().join("handlers"))
            .servers("gate", 1)
            .servers("chat", 1)
    }

    /// One server, `connector-1`, with this script as `handlers/connector.lua`.
    pub fn connector(script: &str) -> Self {
        let chathost = json!({
            "web": { "enabled": false },
            "log": { "files": 0 },
            "handlers": { "watch": false },
            "stop": { "graceSeconds": 3 },
        });
        let empty = Self {
            servers: Map::new(),
            chathost,
            files: BTreeMap::new(),
            only: Vec::new(),
        };
        empty.servers("connector", 1).script("connector.lua", script)
    }

    /// The configuration in the repository, on other ports: one gate, three connectors, three chat servers.
    pub fn shipped() -> Self {
        let read = |name: &str| -> Value {
            let text = fs::read_to_string(root().join("config").join(name)).expect(name);
            serde_json::from_str(&text).expect(name)
        };
        let mut setup = Self::demo();
        setup.servers.clear();
        for (server_type, servers) in read("servers.json")["development"].as_object().expect("types") {
            for server in servers.as_array().expect("servers") {
                let mut server = server.clone();
                if server["frontend"] == true {
                    server["clientPort"] = json!(0);
                }
                setup = setup.server(server_type, server);
            }
        }
        for file in ["dictionary.json", "serverProtos.json", "clientProtos.json"] {
            setup = setup.config(file, &read(file));
        }
        let shipped = read("chathost.json")["development"].clone();
        let mut chathost = shipped;
        merge(&mut chathost, &setup.chathost);
        setup.chathost = chathost;
        setup
    }

    /// So many servers of a type, `chat-1`, `chat-2`, …, in place of those there were. Gates and connectors are
    /// frontends.
    #[must_use]
    pub fn servers(mut self, server_type: &str, count: usize) -> Self {
        self.servers.remove(server_type);
        for number in 1..=count {
            let mut server = json!({ "id": format!("{server_type}-{number}"), "host": "127.0.0.1" });
            if server_type != "gate" {
                server["port"] = json!(0);
            }
            if matches!(server_type, "gate" | "connector") {
                server["clientPort"] = json!(0);
                server["frontend"] = json!(true);
            }
            self = self.server(server_type, server);
        }
        self
    }

    /// One more server of a type.
    #[must_use]
    pub fn server(mut self, server_type: &str, server: Value) -> Self {
        let list = self.servers.entry(server_type).or_insert_with(|| json!([]));
        list.as_array_mut().expect("a list").push(server);
        self
    }

    /// Settings of `chathost.json`, laid over those there are.
    #[must_use]
    pub fn settings(mut self, settings: &Value) -> Self {
        merge(&mut self.chathost, settings);
        self
    }

    /// A file of the configuration.
    #[must_use]
    pub fn config(self, name: &str, content: &Value) -> Self {
        self.file(Path::new("config").join(name), &content.to_string())
    }

    /// A script below `handlers/`.
    #[must_use]
    pub fn script(self, path: &str, text: &str) -> Self {
        self.file(Path::new("handlers").join(path), text)
    }

    /// The files of a folder of `tests/fixtures`.
    #[must_use]
    pub fn fixture(self, name: &str) -> Self {
        self.folder("", &root().join("tests/fixtures").join(name))
    }

    /// Hosts these servers only.
    #[must_use]
    pub fn only(mut self, ids: &[&str]) -> Self {
        self.only = ids.iter().map(|&id| id.to_owned()).collect();
        self
    }

    /// A file below the base directory.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, text: &str) -> Self {
        self.files.insert(path.into(), text.to_owned());
        self
    }

    fn folder(mut self, to: &str, from: &Path) -> Self {
        for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let to = Path::new(to).join(&name);
            if path.is_dir() {
                self = self.folder(&to.to_string_lossy(), &path);
            } else {
                let text = fs::read_to_string(&path).expect("text");
                self = self.file(to, &text);
            }
        }
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start(self) -> Cluster {
        match self.try_start().await {
            Ok(cluster) => cluster,
            Err(error) => panic!("the cluster does not start:\n{error}"),
        }
    }

    /// What keeps it from starting, one line each.
    ///
    /// # Panics
    /// It starts.
    pub async fn problems(self) -> Vec<String> {
        match self.try_start().await {
            Ok(_) => panic!("it started"),
            Err(error) => error.problems,
        }
    }

    /// Starts it, or says why not.
    ///
    /// # Errors
    /// What the program would say.
    pub async fn try_start(self) -> Result<Cluster, StartError> {
        let folder = TempDir::new().expect("a temporary folder");
        let options = self.write(folder.path());
        let config = options.load()?;
        let protos = Protos::new(&config.server_protos, &config.client_protos).expect("checked");
        let instance = Instance::start(config).await?;
        Ok(Cluster::new(instance, folder, Arc::new(protos)))
    }

    /// Writes it into a folder, as the options to start it with.
    pub fn write(&self, base: &Path) -> Options {
        let write = |path: &Path, text: &str| {
            let path = base.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write(
            Path::new("config/servers.json"),
            &json!({ "development": self.servers }).to_string(),
        );
        write(Path::new("config/chathost.json"), &self.chathost.to_string());
        for (path, text) in &self.files {
            write(path, text);
        }
        let mut options = Options::new(base.join("config/servers.json"));
        options.base = base.to_owned();
        options.only.clone_from(&self.only);
        if self.chathost.get("threads").is_none() {
            options.threads = threads();
        }
        options
    }
}

/// All tests run twice: with a thread for each server, and with `CHATHOST_TEST_THREADS` that the servers share.
fn threads() -> Option<u32> {
    let threads = std::env::var("CHATHOST_TEST_THREADS").ok()?;
    Some(threads.parse().expect("CHATHOST_TEST_THREADS is a number"))
}

/// Lays objects over objects; anything else takes the place of what was there.
fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}
