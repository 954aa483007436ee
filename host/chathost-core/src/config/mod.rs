//! The configuration: from Pomelo's files to a checked [`Cluster`].
//!
//! `servers.json`, `master.json`, `dictionary.json`, `serverProtos.json` and `clientProtos.json` are Pomelo's, in its
//! format; what Pomelo sets in code is in `chathost.json` ([`settings`]). Each may hold its environments as keys, or lie
//! in a folder named after one. Everything that is wrong is found at once, and said with file and line. After [`load`]
//! nobody validates again.

mod handlers;
mod load;
mod nearest;
mod node;
mod section;
mod servers;
mod settings;

pub use handlers::{Libraries, LibrariesByType};
pub use load::load;
pub use servers::ServerInfo;
pub use settings::{
    ConnectorSettings, HandlerSettings, LimitSettings, LogSettings, OutboxPolicy, RpcSettings,
    ScriptSettings, SessionSettings, Settings, StopSettings, TypeSettings, WebSettings,
};

use std::{collections::HashSet, path::PathBuf, sync::Arc};

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
    /// How handlers are replaced.
    pub handlers: HandlerSettings,
    /// `threads`: that the servers of this process share; 0 if each has its own. On few processors sharing saves what it
    /// takes to wake another thread for each message (a third of a request), but what holds up one server then holds up
    /// those beside it.
    pub threads: u32,
    /// What `handlers.json` says: which types libraries serve.
    pub libraries: LibrariesByType,
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

#[cfg(test)]
mod tests;
