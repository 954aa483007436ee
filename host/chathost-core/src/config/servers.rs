//! `servers.json`: the servers of an environment, by type.
//!
//! An entry may stand for several (`clusterCount`): then every value that ends in `++` counts up. Fields that nobody
//! here knows are kept, and scripts see them.

use super::node::{Node, Problems};
use serde_json::{Map, Value};
use std::{collections::HashMap, sync::Arc};

/// Servers that one entry may stand for.
const MOST: u64 = 1000;

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
pub(super) fn read(node: Node<'_>, problems: &mut Problems, warnings: &mut Vec<String>) -> Types {
    let Some(entries) = node.object() else {
        problems.at(
            node,
            "",
            "has to be an object of server types, { \"chat\": [ … ], … }",
        );
        return Vec::new();
    };
    let mut reader = Reader {
        problems,
        ids: HashMap::new(),
        ports: HashMap::new(),
    };
    let mut types: Types = Vec::new();
    for (name, list) in entries {
        if types.iter().any(|(known, _)| **known == *name) {
            reader
                .problems
                .at(list, &name, "this server type stands here twice");
            continue;
        }
        let name: Arc<str> = name.into();
        let servers = reader.servers(&name, list);
        types.push((name, servers));
    }
    if types.iter().all(|(_, servers)| servers.is_empty()) {
        reader.problems.at(node, "", "names no server");
    } else if !types
        .iter()
        .any(|(_, servers)| servers.iter().any(|server| server.frontend))
    {
        warnings.push(
            "no server is a frontend: nobody can connect (\"frontend\": true, \"clientPort\": …)".into(),
        );
    }
    types
}

struct Reader<'p> {
    problems: &'p mut Problems,
    /// The lines they stand on.
    ids: HashMap<String, usize>,
    /// By host.
    ports: HashMap<(String, u16), String>,
}

impl Reader<'_> {
    fn servers(&mut self, server_type: &Arc<str>, list: Node<'_>) -> Vec<Arc<ServerInfo>> {
        if server_type.is_empty()
            || server_type.contains(['.', '/', '\\'])
            || server_type.chars().any(char::is_whitespace)
        {
            self.problems.at(
                list,
                server_type,
                "cannot be the name of a server type: routes begin with it",
            );
            return Vec::new();
        }
        let Some(entries) = list.array() else {
            self.problems.at(
                list,
                server_type,
                "has to be a list of servers, [ { \"id\": … }, … ]",
            );
            return Vec::new();
        };
        let mut servers = Vec::new();
        // Of all entries that stand for several.
        let mut sequence = 1;
        for (place, entry) in entries.into_iter().enumerate() {
            let path = format!("{server_type}[{place}]");
            let Some(fields) = entry.object().and_then(|_| entry.value::<Map<String, Value>>()) else {
                self.problems.at(
                    entry,
                    &path,
                    "has to be an object, { \"id\": …, \"host\": …, \"port\": … }",
                );
                continue;
            };
            for fields in self.expanded(entry, &path, server_type, fields, &mut sequence) {
                servers.extend(self.server(entry, &path, server_type, fields).map(Arc::new));
            }
        }
        servers
    }

    /// The entries that an entry stands for.
    fn expanded(
        &mut self,
        node: Node<'_>,
        path: &str,
        server_type: &str,
        mut fields: Map<String, Value>,
        sequence: &mut u64,
    ) -> Vec<Map<String, Value>> {
        let Some(count) = fields.remove("clusterCount") else {
            return vec![fields];
        };
        let number = match &count {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let Some(count) = number.filter(|count| (1..=MOST).contains(count)) else {
            let cause = format!("has to be a whole number from 1 to {MOST}, not {count}");
            self.problems.at(node, &format!("{path}.clusterCount"), &cause);
            return Vec::new();
        };
        let mut servers = Vec::new();
        for turn in 0..count {
            let mut server = fields.clone();
            for (key, value) in &mut server {
                let Some(base) = value.as_str().and_then(|text| text.strip_suffix("++")) else {
                    continue;
                };
                match base.parse::<u64>().ok().and_then(|base| base.checked_add(turn)) {
                    Some(counted) => *value = counted.into(),
                    None if turn == 0 => {
                        let cause = format!("\"{base}++\" has to be a whole number before the ++");
                        self.problems.at(node, &format!("{path}.{key}"), &cause);
                    }
                    None => {}
                }
            }
            server.insert(
                "id".to_owned(),
                format!("cluster-server-{server_type}-{sequence}").into(),
            );
            *sequence += 1;
            servers.push(server);
        }
        servers
    }

    fn server(
        &mut self,
        node: Node<'_>,
        path: &str,
        server_type: &Arc<str>,
        mut fields: Map<String, Value>,
    ) -> Option<ServerInfo> {
        let key = |name: &str| format!("{path}.{name}");
        let Some(id) = fields
            .get("id")
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
        else {
            self.problems
                .at(node, &key("id"), "is missing: a name that no other server has");
            return None;
        };
        if let Some(line) = self.ids.insert(id.clone(), node.line()) {
            self.problems.at(
                node,
                &key("id"),
                &format!("{id} is the id of the server on line {line} already"),
            );
            return None;
        }
        let text = |name: &str| {
            fields
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let Some(host) = text("host") else {
            self.problems.at(
                node,
                &key("host"),
                &format!("is missing from {id}: where it runs, like \"127.0.0.1\""),
            );
            return None;
        };
        let client_host = text("clientHost");
        let frontend = matches!(fields.get("frontend"), Some(Value::Bool(true)))
            || text("frontend").as_deref() == Some("true");
        if !matches!(fields.get("frontend"), None | Some(Value::Bool(_)))
            && !matches!(text("frontend").as_deref(), Some("true" | "false"))
        {
            self.problems
                .at(node, &key("frontend"), "has to be true or false");
        }
        let client_port = self.port(node, path, "clientPort", &mut fields, &host, &id);
        let port = self.port(node, path, "port", &mut fields, &host, &id);
        if frontend && client_port.is_none() && !fields.contains_key("clientPort") {
            let cause = format!("is missing from {id}: a frontend needs a port for its clients");
            self.problems.at(node, &key("clientPort"), &cause);
        }
        if !frontend && port.is_none() && !fields.contains_key("port") {
            let cause = format!(
                "is missing from {id}: other servers reach it there (or is it a frontend? \"frontend\": true)"
            );
            self.problems.at(node, &key("port"), &cause);
        }
        let max_connections = match fields.get("max-connections") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
                if number.is_none_or(|number| number == 0) {
                    self.problems
                        .at(node, &key("max-connections"), "has to be a whole number from 1");
                }
                number.and_then(|number| usize::try_from(number).ok())
            }
        };
        fields.insert("serverType".to_owned(), (**server_type).into());
        fields.insert("frontend".to_owned(), frontend.into());
        Some(ServerInfo {
            id: id.into(),
            server_type: server_type.clone(),
            host,
            port,
            client_host,
            client_port,
            frontend,
            max_connections,
            fields,
        })
    }

    fn port(
        &mut self,
        node: Node<'_>,
        path: &str,
        name: &str,
        fields: &mut Map<String, Value>,
        host: &str,
        id: &str,
    ) -> Option<u16> {
        let value = fields.get(name)?;
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let Some(port) = number.and_then(|number| u16::try_from(number).ok()) else {
            self.problems.at(
                node,
                &format!("{path}.{name}"),
                &format!("has to be a port, 1 to 65535, not {value}"),
            );
            return None;
        };
        fields.insert(name.to_owned(), port.into());
        // 0 is any free port: no two are the same.
        if port != 0
            && let Some(other) = self
                .ports
                .insert((host.to_owned(), port), format!("{id} ({name})"))
        {
            self.problems.at(
                node,
                &format!("{path}.{name}"),
                &format!("{port} is the port of {other} already"),
            );
        }
        Some(port)
    }
}
