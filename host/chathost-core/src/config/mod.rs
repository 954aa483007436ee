//! The configuration: from Pomelo's files to a checked [`Cluster`].
//!
//! `servers.json`, `master.json`, `dictionary.json`, `serverProtos.json` and `clientProtos.json` are Pomelo's, in its
//! format; what Pomelo sets in code is in `chathost.json` ([`settings`]). Each may hold its environments as keys, or lie
//! in a folder named after one. Everything that is wrong is found at once, and said with file and line. After [`load`]
//! nobody validates again.

mod nearest;
mod node;
mod section;
mod servers;
mod settings;

pub use servers::ServerInfo;
pub use settings::{
    ConnectorSettings, LimitSettings, LogSettings, OutboxPolicy, RpcSettings, ScriptSettings,
    SessionSettings, Settings, StopSettings, TypeSettings, WebSettings,
};

use node::{File, Node, Problems};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Which files to read.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// `servers.json`. Its folder is the configuration folder.
    pub servers_file: PathBuf,
    /// The folder of `handlers/` and `logs/`.
    pub base: PathBuf,
    /// `development`, `production`, …
    pub env: String,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigErrors(pub Vec<String>);

/// All servers there are, and how they run.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// `development`, `production`, …
    pub env: String,
    /// The folder of `handlers/`, `web-server/public/` and `logs/`.
    pub base: PathBuf,
    /// The folder of the configuration files.
    pub config_dir: PathBuf,
    /// Where the running host is spoken to.
    pub master: Master,
    /// Routes that the dictionary has besides those of the handlers.
    pub dictionary: Vec<String>,
    /// The text of `serverProtos.json`; empty if there is none.
    pub server_protos: String,
    /// The text of `clientProtos.json`; empty if there is none.
    pub client_protos: String,
    /// How each type of server runs.
    pub settings: Settings,
    /// The web page.
    pub web: WebSettings,
    /// The log.
    pub log: LogSettings,
    /// How the servers end.
    pub stop: StopSettings,
    /// What is odd and not wrong.
    pub warnings: Vec<String>,
    /// By type, in the order of the file.
    types: Vec<(Arc<str>, Vec<Arc<ServerInfo>>)>,
    /// Ids of the servers of this process; `None` for all.
    hosted: Option<HashSet<String>>,
}

/// `master.json`: the address of the host's administration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// Its id in lists.
    pub id: String,
    /// Where it listens.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Cluster {
    /// Every server, in the order of the file.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<ServerInfo>> + Clone {
        self.types.iter().flat_map(|(_, servers)| servers)
    }

    /// The servers of a type, in the order of the file: the order that the dispatch by hash depends on.
    pub fn servers_of(&self, server_type: &str) -> std::slice::Iter<'_, Arc<ServerInfo>> {
        let of_type = self.types.iter().find(|(name, _)| **name == *server_type);
        of_type.map(|(_, servers)| servers.iter()).unwrap_or_default()
    }

    /// The types of the file, in its order.
    pub fn types(&self) -> impl Iterator<Item = &Arc<str>> {
        self.types.iter().map(|(name, _)| name)
    }

    /// The server with this id.
    pub fn server(&self, id: &str) -> Option<&Arc<ServerInfo>> {
        self.servers().find(|server| *server.id == *id)
    }

    /// The servers of this process.
    pub fn hosted(&self) -> impl Iterator<Item = &Arc<ServerInfo>> {
        self.servers()
            .filter(|server| self.hosted.as_ref().is_none_or(|ids| ids.contains(&*server.id)))
    }

    /// Hosts only these servers; the others are known, and elsewhere.
    ///
    /// # Errors
    /// An id that no server has.
    pub fn only(&mut self, ids: &[String]) -> Result<(), String> {
        if let Some(unknown) = ids.iter().find(|id| self.server(id).is_none()) {
            let known: Vec<&str> = self.servers().map(|server| &*server.id).collect();
            return Err(format!(
                "--only: no server has the id {unknown}; there are {}",
                known.join(", ")
            ));
        }
        self.hosted = Some(ids.iter().cloned().collect());
        Ok(())
    }

    /// The port that a frontend listens on, where the file says 0 for any.
    pub(crate) fn set_client_port(&mut self, id: &str, port: u16) {
        let servers = self.types.iter_mut().flat_map(|(_, servers)| servers);
        for server in servers.filter(|server| *server.id == *id && server.client_port != Some(port)) {
            let mut changed = ServerInfo::clone(server);
            changed.client_port = Some(port);
            changed.fields.insert("clientPort".to_owned(), port.into());
            *server = Arc::new(changed);
        }
    }
}

/// Reads and checks the configuration.
///
/// # Errors
/// Everything that is wrong, one line each: file and line, key, cause, remedy.
pub fn load(options: &LoadOptions) -> Result<Cluster, ConfigErrors> {
    let env = options.env.as_str();
    let config_dir = options
        .servers_file
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    let mut problems = Problems::default();
    let find = |name: &str| -> PathBuf {
        let beside = config_dir.join(name);
        let in_folder = config_dir.join(env).join(name);
        if !beside.exists() && in_folder.exists() {
            in_folder
        } else {
            beside
        }
    };
    let servers_name = options
        .servers_file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let servers_file = File::read(&find(servers_name.as_deref().unwrap_or_default()), &mut problems);
    if servers_file.as_ref().is_none_or(|file| !file.exists()) {
        let place = options.servers_file.display();
        problems.add(format!(
            "{place}: there is no such file; name your servers.json with --servers"
        ));
    }
    let mut warnings = Vec::new();
    let mut types = Vec::new();
    if let Some(servers) = servers_file
        .as_ref()
        .and_then(|file| environment(file, env, true, &mut problems))
    {
        types = servers::read(servers, &mut problems, &mut warnings);
    }

    let file = |name: &str, problems: &mut Problems| File::read(&find(name), problems).filter(File::exists);
    let mut master = Master {
        id: "master-server-1".into(),
        host: "127.0.0.1".into(),
        port: 3005,
    };
    if let Some(file) = file("master.json", &mut problems)
        && let Some(node) = environment(&file, env, false, &mut problems)
    {
        section::read(node, "", &mut problems, |section| {
            section.text("id", &mut master.id);
            section.text("host", &mut master.host);
            section.port("port", &mut master.port);
        });
    }
    let mut dictionary = Vec::new();
    if let Some(file) = file("dictionary.json", &mut problems)
        && let Some(node) = environment(&file, env, false, &mut problems)
    {
        // The original's demo has `{}` there, which names no routes.
        match node.object().filter(Vec::is_empty) {
            Some(_) => {}
            None => section::read_list(node, "", &mut problems, &mut dictionary),
        }
    }
    let mut protos = |name: &str| {
        file(name, &mut problems)
            .and_then(|file| environment(&file, env, false, &mut problems).map(|node| node.text().to_owned()))
            .unwrap_or_default()
    };
    let (server_protos, client_protos) = (protos("serverProtos.json"), protos("clientProtos.json"));
    if let Err(error) = pomelo_protocol::Protos::new(&server_protos, &client_protos) {
        problems.add(config_dir.join(error.to_string()).display().to_string());
    }

    let names: Vec<&str> = types.iter().map(|(name, _)| &**name).collect();
    let mut host = settings::Host::default();
    if let Some(file) = file("chathost.json", &mut problems)
        && let Some(node) = environment(&file, env, false, &mut problems)
    {
        host.read(node, &names, &mut problems);
    }
    let settings::Host {
        settings,
        web,
        log,
        stop,
    } = host;
    problems.none()?;
    Ok(Cluster {
        env: options.env.clone(),
        base: options.base.clone(),
        config_dir,
        master,
        dictionary,
        server_protos,
        client_protos,
        settings,
        web,
        log,
        stop,
        warnings,
        types,
        hosted: None,
    })
}

/// The part of a file that is for this environment: the key of its name, or the whole file where there is none.
/// `needed`: a file of objects without that key is wrong, because they are other environments.
fn environment<'a>(file: &'a File, env: &str, needed: bool, problems: &mut Problems) -> Option<Node<'a>> {
    let node = file.parse(problems)?;
    let Some(entries) = node.object() else {
        return Some(node);
    };
    if let Some((_, own)) = entries.iter().find(|(key, _)| key == env) {
        return Some(*own);
    }
    let names: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
    if needed && !entries.is_empty() && entries.iter().all(|(_, value)| value.object().is_some()) {
        problems.at(
            node,
            env,
            &format!(
                "there is no such environment; there are {} (-e)",
                names.join(", ")
            ),
        );
        return None;
    }
    // Other environments, and nothing for this one: as if there were no file.
    let known = ["development", "production"];
    if !needed && !names.is_empty() && names.iter().all(|name| known.contains(name)) {
        return None;
    }
    Some(node)
}

#[cfg(test)]
mod tests;
