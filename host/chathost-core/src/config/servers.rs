//! `servers.json`: the servers of an environment, by type.
//!
//! Fields that nobody here knows are kept, and scripts see them. An entry may stand for several servers ([`expand`]).

mod expand;
mod fields;

use super::node::{Node, Problems};
use fields::Fields;
use serde_json::{Map, Value};
use std::{collections::HashMap, sync::Arc};

/// One server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerInfo {
    /// Unique in the cluster.
    pub id: Arc<str>,
    /// `gate`, `connector`, `chat`, …
    pub server_type: Arc<str>,
    /// Where other servers reach it.
    pub host: String,
    /// Where other servers reach it; without it, it takes no calls.
    pub port: Option<u16>,
    /// Where clients reach it, if that is not `host`.
    pub client_host: Option<String>,
    /// A frontend's port for clients.
    pub client_port: Option<u16>,
    /// Whether clients connect to it.
    pub frontend: bool,
    /// Connections it takes at a time.
    pub max_connections: Option<usize>,
    /// The whole entry, with `id` and `serverType`.
    pub fields: Map<String, Value>,
}

/// The servers of a type, in the order of the file.
pub(super) type Types = Vec<(Arc<str>, Vec<Arc<ServerInfo>>)>;

/// Reads an environment.
pub(super) fn read(node: Node<'_>, problems: &mut Problems) -> Types {
    let before = problems.count();
    let Some(entries) = node.entries("", problems) else {
        let cause = "has to be an object of server types, { \"chat\": [ … ], … }";
        problems.at(node, "", cause);
        return Types::new();
    };
    let mut reader = Reader {
        problems,
        ids: HashMap::new(),
        ports: HashMap::new(),
    };
    let mut types = Types::new();
    for (name, list) in entries {
        let name: Arc<str> = name.into();
        let servers = reader.servers(&name, list);
        types.push((name, servers));
    }
    let all = || types.iter().flat_map(|(_, servers)| servers);
    // What could not be read says so itself.
    if problems.count() == before {
        if all().next().is_none() {
            let cause = "names no server; a type is a list of them, \"chat\": [ { \"id\": … } ]";
            problems.at(node, "", cause);
        } else if !all().any(|server| server.frontend) {
            let cause = "no server is a frontend: nobody can connect (\"frontend\": true, \"clientPort\": …)";
            problems.warn(node, "", cause);
        }
    }
    types
}

struct Reader<'p> {
    problems: &'p mut Problems,
    /// The lines they stand on.
    ids: HashMap<String, usize>,
    /// Whose they are, by host.
    ports: HashMap<(String, u16), String>,
}

impl Reader<'_> {
    fn servers(&mut self, server_type: &Arc<str>, list: Node<'_>) -> Vec<Arc<ServerInfo>> {
        if server_type.contains(['.', '/', '\\']) || !is_name(server_type) {
            let cause = "cannot be the name of a server type: routes begin with it, and files are called so; use letters";
            self.problems.at(list, server_type, cause);
            return Vec::new();
        }
        let Some(entries) = list.array() else {
            let cause = "has to be a list of servers, [ { \"id\": … }, … ]";
            self.problems.at(list, server_type, cause);
            return Vec::new();
        };
        let mut servers = Vec::new();
        let mut sequence = 0;
        for (place, entry) in entries.into_iter().enumerate() {
            let path = format!("{server_type}[{place}]");
            let Some(fields) = Fields::read(entry, path, self.problems) else {
                continue;
            };
            for fields in expand::expand(fields, server_type, &mut sequence, self.problems) {
                let before = self.problems.count();
                servers.extend(self.server(server_type, fields).map(Arc::new));
                // What is wrong with one that an entry stands for is wrong with the others.
                if self.problems.count() > before {
                    break;
                }
            }
        }
        servers
    }

    fn server(&mut self, server_type: &Arc<str>, mut fields: Fields<'_>) -> Option<ServerInfo> {
        let id = fields.text("id", self.problems);
        let host = fields.text("host", self.problems);
        if let Some(id) = &id {
            self.check_id(id, &fields);
        } else if !fields.has("id") {
            fields.wrong(
                "id",
                "is missing; give a name that no other server has",
                self.problems,
            );
        }
        let name = id.as_deref().unwrap_or("this server").to_owned();
        if !fields.has("host") {
            let cause = format!("is missing from {name}; say where it runs, like \"127.0.0.1\"");
            fields.wrong("host", &cause, self.problems);
        }
        let client_host = fields.text("clientHost", self.problems);
        let client_port = fields.port("clientPort", self.problems);
        let port = fields.port("port", self.problems);
        let frontend = fields.flag("frontend", self.problems);
        let max_connections = fields.count("max-connections", self.problems);
        if frontend && !fields.has("clientPort") {
            let cause = format!("is missing from {name}; a frontend needs a port for its clients");
            fields.wrong("clientPort", &cause, self.problems);
        }
        if !frontend && fields.has("clientPort") {
            let cause = format!("{name} is no frontend, so nobody listens there (\"frontend\": true)");
            fields.odd("clientPort", &cause, self.problems);
        }
        if !frontend && !fields.has("port") {
            let cause = format!("is missing from {name}, so that no other server can call it");
            fields.odd("port", &cause, self.problems);
        }
        if fields.has("wsPort") {
            let cause = "is deprecated, and nobody listens there; use clientPort in a frontend";
            fields.odd("wsPort", cause, self.problems);
        }
        let (id, host) = (id?, host?);
        for (key, port) in [("clientPort", client_port), ("port", port)] {
            self.check_port(&id, &host, key, port, &fields);
        }
        fields.set("serverType", (**server_type).into());
        Some(ServerInfo {
            id: id.into(),
            server_type: server_type.clone(),
            host,
            port,
            client_host,
            client_port,
            frontend,
            max_connections,
            fields: fields.values,
        })
    }

    fn check_id(&mut self, id: &str, fields: &Fields<'_>) {
        // It is the name of a thread, and one of several on the command line.
        if id.contains(',') || !is_name(id) {
            let cause = format!(
                "{id:?} has a space, a comma or a control character in it; use letters, digits and -"
            );
            fields.wrong("id", &cause, self.problems);
        }
        if let Some(line) = self.ids.insert(id.to_owned(), fields.line("id")) {
            let cause = format!("{id} is the id of the server on line {line} already; choose another");
            fields.wrong("id", &cause, self.problems);
        }
    }

    fn check_port(&mut self, id: &str, host: &str, key: &str, port: Option<u16>, fields: &Fields<'_>) {
        // 0 is any free port: no two are the same.
        let Some(port) = port.filter(|&port| port != 0) else {
            return;
        };
        let host = if host == "localhost" { "127.0.0.1" } else { host };
        let owner = format!("{id} ({key}, line {})", fields.line(key));
        if let Some(other) = self.ports.insert((host.to_owned(), port), owner) {
            let cause = format!("{port} is the port of {other} already; choose another");
            fields.wrong(key, &cause, self.problems);
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter.is_control())
}
