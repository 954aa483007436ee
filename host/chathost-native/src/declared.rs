//! What a plugin declares while it is created, and what is wrong with it.

use crate::instance::Instance;
use chathost_abi::{FLAG_CONCURRENT, Kind};
use chathost_core::handler::{self, Manifest};
use std::{collections::HashMap, path::Path, rc::Rc};

/// Everything that was declared.
#[derive(Debug)]
pub(crate) struct Declared {
    place: String,
    open: bool,
    problems: Vec<String>,
    methods: Vec<handler::Method>,
    /// The plugin's numbers, by the manifest's.
    numbers: Vec<u32>,
    listeners: HashMap<String, u32>,
    /// In the order in which they run.
    pub(crate) global_before: Vec<u32>,
    /// In the order in which they run.
    pub(crate) global_after: Vec<u32>,
}

impl Declared {
    pub(crate) fn new(library: &Path) -> Self {
        Self {
            place: library.display().to_string(),
            open: true,
            problems: Vec::new(),
            methods: Vec::new(),
            numbers: Vec::new(),
            listeners: HashMap::new(),
            global_before: Vec::new(),
            global_after: Vec::new(),
        }
    }

    /// Nothing more is taken. Returns what was wrong.
    pub(crate) fn close(&mut self) -> Vec<String> {
        self.open = false;
        std::mem::take(&mut self.problems)
    }

    /// The manifest of what was declared.
    pub(crate) fn manifest(&mut self, server_type: &str) -> Manifest {
        Manifest::new(server_type, std::mem::take(&mut self.methods))
    }

    /// The plugin's number of a method.
    pub(crate) fn number(&self, method: handler::MethodId) -> Option<u32> {
        self.numbers.get(method).copied()
    }

    /// The plugin's number of a listener.
    pub(crate) fn listener(&self, name: &str) -> Option<u32> {
        self.listeners.get(name).copied()
    }

    fn method(&mut self, kind: handler::Kind, name: &str, flags: u32, number: u32) {
        let (suffix, example) = match kind {
            handler::Kind::Handler => ("handler", "chatHandler.send"),
            handler::Kind::Remote => ("remote", "chatRemote.add"),
        };
        let parts = name.split_once('.').filter(|(group, name)| {
            group.to_lowercase().ends_with(suffix) && !name.is_empty() && !name.contains('.')
        });
        let Some((group, method)) = parts else {
            return self.problems.push(format!(
                "\"{name}\" is no name for a {suffix}; one is called like {example}"
            ));
        };
        if self
            .methods
            .iter()
            .any(|known| known.group == group && known.name == method)
        {
            return self
                .problems
                .push(format!("{name} is declared twice; leave one of them out"));
        }
        self.numbers.push(number);
        self.methods.push(handler::Method {
            kind,
            group: group.to_owned(),
            name: method.to_owned(),
            concurrent: flags & FLAG_CONCURRENT != 0,
            place: self.place.clone(),
        });
    }
}

impl Instance {
    /// The plugin declares something.
    pub(crate) fn declare(self: &Rc<Self>, kind: u32, name: &str, flags: u32, number: u32) {
        let mut declared = self.declared.borrow_mut();
        if !declared.open {
            let library = self.library();
            return tracing::error!(library, name, "a plugin declares something after it was created");
        }
        match kind {
            _ if kind == Kind::Handler as u32 => declared.method(handler::Kind::Handler, name, flags, number),
            _ if kind == Kind::Remote as u32 => declared.method(handler::Kind::Remote, name, flags, number),
            _ if kind == Kind::Listener as u32 => drop(declared.listeners.insert(name.to_owned(), number)),
            _ if kind == Kind::GlobalBefore as u32 => declared.global_before.push(number),
            _ if kind == Kind::GlobalAfter as u32 => declared.global_after.insert(0, number),
            _ if kind == Kind::CheckClient as u32 => self.check_client(number),
            _ if kind == Kind::Handshake as u32 => self.handshake(number),
            _ if kind == Kind::Route as u32 => self.route(name, number),
            _ => declared
                .problems
                .push(format!("{name} is of kind {kind}, which this host does not know")),
        }
    }
}
