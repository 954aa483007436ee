//! What a generation answers: its handlers and remotes, by name.
//!
//! Built once when handlers load. The dictionary is made of the manifests of all server types; dispatch looks methods
//! up here, so only what is declared can be called.

use crate::map::Map;

/// Numbers a method within its manifest.
pub type MethodId = usize;

/// Whom a method answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Clients: a group named `…Handler`.
    Handler,
    /// Other servers: a group named `…Remote`.
    Remote,
}

/// One function that can be called from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Whom it answers.
    pub kind: Kind,
    /// `chatHandler`.
    pub group: String,
    /// `send`.
    pub name: String,
    /// Requests of one session may run beside each other.
    pub concurrent: bool,
    /// Where it is written, for people: `handlers/chat.lua:7`, `plugins/libchat.so`.
    pub place: String,
}

/// The methods of one server type.
#[derive(Debug, Default)]
pub struct Manifest {
    server_type: String,
    methods: Vec<Method>,
    handlers: Map<String, MethodId>,
    remotes: Map<String, MethodId>,
}

impl Manifest {
    /// Indexes methods; their ids are their places in the list. Of two with one name the later one counts.
    pub fn new(server_type: &str, methods: Vec<Method>) -> Self {
        let mut handlers = Map::default();
        let mut remotes = Map::default();
        let mut short: Map<String, Vec<MethodId>> = Map::default();
        for (id, method) in methods.iter().enumerate() {
            match method.kind {
                Kind::Handler => {
                    handlers.insert(format!("{server_type}.{}.{}", method.group, method.name), id);
                    short
                        .entry(format!("{server_type}.{}", method.name))
                        .or_default()
                        .push(id);
                }
                Kind::Remote => {
                    remotes.insert(format!("{}.{}", method.group, method.name), id);
                }
            }
        }
        // The two-part short form, where the method's name is unique in its type.
        handlers.extend(
            short
                .into_iter()
                .filter(|(_, ids)| ids.len() == 1)
                .map(|(route, ids)| (route, ids[0])),
        );
        Self {
            server_type: server_type.to_owned(),
            methods,
            handlers,
            remotes,
        }
    }

    /// The method that answers a client's route: `chat.chatHandler.send`, or `chat.send` if that is unique.
    pub fn handler(&self, route: &str) -> Option<MethodId> {
        self.handlers.get(route).copied()
    }

    /// The method that answers `app.rpc.<type>.<group>.<method>`, named `group.method`.
    pub fn remote(&self, method: &str) -> Option<MethodId> {
        self.remotes.get(method).copied()
    }

    /// The method with this id.
    pub fn method(&self, id: MethodId) -> Option<&Method> {
        self.methods.get(id)
    }

    /// All methods, in the order of their ids.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// The three-part routes of all handlers: this type's part of the dictionary.
    pub fn routes(&self) -> impl Iterator<Item = String> {
        self.methods
            .iter()
            .filter(|method| method.kind == Kind::Handler)
            .map(|method| format!("{}.{}.{}", self.server_type, method.group, method.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(kind: Kind, group: &str, name: &str) -> Method {
        Method {
            kind,
            group: group.into(),
            name: name.into(),
            concurrent: false,
            place: String::new(),
        }
    }

    #[test]
    fn names() {
        let manifest = Manifest::new(
            "chat",
            vec![
                method(Kind::Handler, "chatHandler", "send"),
                method(Kind::Handler, "roomHandler", "list"),
                method(Kind::Handler, "userHandler", "list"),
                method(Kind::Remote, "chatRemote", "add"),
            ],
        );
        assert_eq!(manifest.handler("chat.chatHandler.send"), Some(0));
        assert_eq!(manifest.handler("chat.send"), Some(0));
        assert_eq!(manifest.handler("chat.list"), None, "two methods of that name");
        assert_eq!(manifest.handler("chat.userHandler.list"), Some(2));
        assert_eq!(
            manifest.handler("chat.chatRemote.add"),
            None,
            "a remote answers no client"
        );
        assert_eq!(manifest.remote("chatRemote.add"), Some(3));
        assert_eq!(manifest.remote("chatHandler.send"), None);
        assert_eq!(manifest.routes().count(), 3);
    }
}
