//! From the tables that files return to the methods that routes name.

use mlua::{Function, Table, Value};
use std::{collections::BTreeMap, collections::btree_map::Entry};

/// Whom a method answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Clients.
    Handler,
    /// Other servers.
    Remote,
}

impl Kind {
    /// What a group's name says about it: `chatHandler`, `remote`.
    fn of_name(name: &str) -> Option<Self> {
        if name == "handler" || name.ends_with("Handler") {
            Some(Self::Handler)
        } else if name == "remote" || name.ends_with("Remote") {
            Some(Self::Remote)
        } else {
            None
        }
    }
}

/// A function that a route names.
#[derive(Debug, Clone)]
pub struct Method {
    /// Whom it answers.
    pub kind: Kind,
    /// `chatHandler`.
    pub group: String,
    /// `send`.
    pub name: String,
    /// The file it comes from, `handlers/chat.lua`.
    pub file: String,
    /// What to call.
    pub function: Function,
    /// How many parameters it declares.
    pub parameters: usize,
}

impl Method {
    /// Whether it answers through `next(err, resp)` instead of its return value: a handler that declares one parameter
    /// more than the session and the `values` in front of it: the message, or what is in it if the body is an array. An
    /// empty one counts as one value: a client that sends it must not make `handler(msg, session)` wait for ever.
    pub fn takes_next(&self, values: usize) -> bool {
        self.kind == Kind::Handler && self.parameters > values.max(1) + 1
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: BTreeMap<(Kind, String), Group>,
    has_functions: bool,
}

#[derive(Debug)]
struct Group {
    file: String,
    methods: Vec<Method>,
}

impl Groups {
    /// Adds the groups of a table of groups. The answers are what is wrong with it.
    pub(super) fn add_all(&mut self, file: &str, module: &Table) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, value) in entries(module) {
            match value {
                _ if name.starts_with('_') => {}
                Value::Table(table) => match Kind::of_name(&name) {
                    Some(kind) => problems.extend(self.insert(file, kind, &name, &table)),
                    None => problems.push(format!(
                        "{file}: `{name}` is a table but no group: a group for clients is named {name}Handler, one \
                         for servers {name}Remote, and what is neither is local or begins with `_`"
                    )),
                },
                Value::Function(_) => self.has_functions = true,
                _ => {}
            }
        }
        problems
    }

    /// Adds the group that is a whole file, `handlers/chat/handler/chatHandler.lua`.
    pub(super) fn add(&mut self, file: &str, kind: Kind, table: &Table) -> Vec<String> {
        let name = file
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_suffix(".lua"))
            .unwrap_or(file);
        self.insert(file, kind, name, table)
    }

    /// There are functions, but nobody can call them.
    pub(super) fn is_forgotten(&self) -> bool {
        self.groups.is_empty() && self.has_functions
    }

    pub(super) fn into_methods(self) -> Vec<Method> {
        self.groups
            .into_values()
            .flat_map(|group| group.methods)
            .collect()
    }

    fn insert(&mut self, file: &str, kind: Kind, name: &str, table: &Table) -> Vec<String> {
        let mut problems = Vec::new();
        if !is_route_part(name) {
            problems.push(format!(
                "{file}: group `{name}` cannot be part of a route; call it something without dots, spaces and less \
                 than 100 letters long"
            ));
            return problems;
        }
        let mut methods = Vec::new();
        for (method, value) in entries(table) {
            let Value::Function(function) = value else {
                continue;
            };
            if method.starts_with('_') || method == "constructor" {
                continue;
            }
            if !is_route_part(&method) {
                let line = function.info().line_defined.unwrap_or(1);
                problems.push(format!(
                    "{file}:{line}: `{name}.{method}` cannot be part of a route; call it something without dots, \
                     spaces and less than 100 letters long"
                ));
                continue;
            }
            let parameters = usize::from(function.info().num_params);
            let (group, file) = (name.to_owned(), file.to_owned());
            methods.push(Method {
                kind,
                group,
                name: method,
                file,
                function,
                parameters,
            });
        }
        if methods.is_empty() && table.metatable().is_some() {
            problems.push(format!(
                "{file}: group `{name}` has no functions of its own; those of its metatable cannot be \
                 called, copy them into it"
            ));
        }
        match self.groups.entry((kind, name.to_owned())) {
            Entry::Occupied(other) => {
                problems.push(format!(
                    "{file}: group `{name}` is in {} already; rename one of them",
                    other.get().file
                ));
            }
            Entry::Vacant(place) => {
                place.insert(Group {
                    file: file.to_owned(),
                    methods,
                });
            }
        }
        problems
    }
}

/// A table's entries with a name, by name: the order in a table is not the author's.
fn entries(table: &Table) -> Vec<(String, Value)> {
    let mut entries = Vec::new();
    let visited = table.for_each(|key: Value, value: Value| {
        if let Value::String(key) = &key {
            entries.push((key.to_string_lossy(), value));
        }
        Ok(())
    });
    // It fails only where a value cannot be taken out of the VM.
    if visited.is_err() {
        entries.clear();
    }
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries
}

/// A route is three parts with dots between them, in a field of 255 bytes.
fn is_route_part(name: &str) -> bool {
    !name.is_empty()
        && name.len() < 100
        && !name.contains(|c: char| c == '.' || c.is_whitespace() || c.is_control())
}
