//! From the files below `handlers/` to the functions that answer routes.
//!
//! `handlers/app.lua` runs first, then what serves the server's type: `handlers/<type>.lua`, which returns a table of
//! groups (`{ chatHandler = { send = … } }`), and Pomelo's layout, `handlers/<type>/handler/<group>.lua` and
//! `handlers/<type>/remote/<group>.lua`, each of which returns one group. Each may also return a function of `app` that
//! returns the table. In the first form a group's name says whom it answers, in the second its folder does.
//!
//! Other values in the table of the first form are the module's own: `exportState`, a listener that is known by name.
//! Callable from outside are the functions of groups only, found in the table itself and not through a metatable;
//! never `constructor` (Pomelo's attack check) and nothing that begins with `_`.
//!
//! The top level of a file cannot wait for the host: it runs before the server does.

mod groups;
mod modules;
mod snapshot;
mod sources;

pub use groups::{Kind, Method};
pub use snapshot::Snapshot;
pub use sources::Sources;

use crate::{
    budget::{Budget, CallLimits},
    error::ScriptError,
    vm::Vm,
};
use groups::Groups;
use mlua::{Function, Table, Value};
use modules::Modules;
use std::{rc::Rc, sync::Arc};

/// The scripts of one server type, loaded into a VM.
#[derive(Debug)]
pub struct Scripts {
    methods: Vec<Method>,
    modules: Rc<Modules>,
    sources: Sources,
}

impl Scripts {
    /// Everything that can be called from outside, by kind, group and name.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// What a file returned, by its path below `handlers/` without `.lua`: `chat`, `chat/handler/chatHandler`,
    /// `util/dispatcher`. Only files that returned a table.
    pub fn module(&self, name: &str) -> Option<Table> {
        self.modules.table(name)
    }

    /// The files it was made from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }
}

/// Scripts that were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct LoadError {
    /// One line each: file and line, cause, remedy.
    pub problems: Vec<String>,
}

/// Loads the scripts of a server type: runs `app.lua`, then its files and what they require.
///
/// # Errors
/// Everything that is wrong with them, as far as it can be known at once.
pub fn load(vm: &Vm, snapshot: &Arc<Snapshot>, server_type: &str) -> Result<Scripts, LoadError> {
    run(vm, snapshot, |loader| loader.run(server_type))
}

/// Runs `app.lua` only: for a server type whose handlers are no scripts.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_app(vm: &Vm, snapshot: &Arc<Snapshot>) -> Result<Scripts, LoadError> {
    run(vm, snapshot, |loader| {
        if snapshot.has("app.lua") {
            loader.app();
        }
    })
}

fn run(vm: &Vm, snapshot: &Arc<Snapshot>, load: impl FnOnce(&mut Loader<'_>)) -> Result<Scripts, LoadError> {
    let limits = CallLimits {
        cpu: vm.limits().load,
        ..vm.limits().call
    };
    let _entered = vm.budget().enter(&Budget::call(limits));
    let (modules, require) = Modules::new(vm, Arc::clone(snapshot)).map_err(|error| LoadError {
        problems: vec![error.to_string()],
    })?;
    let mut loader = Loader {
        vm,
        modules: &modules,
        require,
        groups: Groups::default(),
        problems: Vec::new(),
    };
    load(&mut loader);
    modules.close();
    let Loader { groups, problems, .. } = loader;
    if !problems.is_empty() {
        return Err(LoadError { problems });
    }
    let sources = modules.sources();
    Ok(Scripts {
        methods: groups.into_methods(),
        modules,
        sources,
    })
}

struct Loader<'a> {
    vm: &'a Vm,
    modules: &'a Modules,
    require: Function,
    groups: Groups,
    problems: Vec<String>,
}

impl Loader<'_> {
    fn run(&mut self, name: &str) {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) || name == "app" {
            self.problems.push(format!(
                "`{name}` cannot be the name of a server type with scripts"
            ));
            return;
        }
        let snapshot = self.modules.snapshot();
        if snapshot.has("app.lua") && !self.app() {
            // What the other files would say now is mostly a consequence.
            return;
        }
        let flat = format!("{name}.lua");
        let mut found = false;
        if snapshot.has(&flat) {
            found = true;
            if let Some(value) = self.module(&flat) {
                self.table(&flat, &value, |groups, file, table| groups.add_all(file, table));
            }
        }
        for (folder, kind) in [("handler", Kind::Handler), ("remote", Kind::Remote)] {
            for path in snapshot.list(&format!("{name}/{folder}")) {
                found = true;
                let Some(value) = self.module(path) else { continue };
                self.table(path, &value, |groups, file, table| groups.add(file, kind, table));
            }
        }
        let place = snapshot.shown(&flat);
        if !found {
            self.problems.push(format!(
                "server type `{name}` has no scripts: there is no {place}, and nothing in {} or {}; looked for in {}",
                snapshot.shown(&format!("{name}/handler/")),
                snapshot.shown(&format!("{name}/remote/")),
                snapshot.root().display(),
            ));
        } else if self.problems.is_empty() && self.groups.is_forgotten() {
            self.problems.push(format!(
                "{place}: its functions are in no group; put those for clients into a table named {name}Handler, \
                 those for servers into {name}Remote, and return {{ {name}Handler = {name}Handler, … }}"
            ));
        }
    }

    /// Runs `app.lua`, which may return anything, and a function of `app` that it returns. `false`: it failed.
    fn app(&mut self) -> bool {
        match self.module("app.lua") {
            Some(Value::Function(make)) => match self.make("app.lua", &make) {
                Some(Value::Table(table)) => {
                    self.modules.replace("app.lua", &table);
                    true
                }
                made => made.is_some(),
            },
            loaded => loaded.is_some(),
        }
    }

    /// What a file returns. `None`: it failed, which is noted.
    fn module(&mut self, path: &str) -> Option<Value> {
        if self.vm.budget().is_over() {
            return None;
        }
        let result = self.vm.run::<Value>(&self.require, path);
        self.noted(path, result)
    }

    /// Gives the table that a file returned, or that the function it returned makes of `app`, to `add`.
    fn table(
        &mut self,
        path: &str,
        value: &Value,
        add: impl FnOnce(&mut Groups, &str, &Table) -> Vec<String>,
    ) {
        let made = match value {
            Value::Function(make) => self.make(path, make),
            value => Some(value.clone()),
        };
        let shown = self.modules.snapshot().shown(path);
        match made {
            Some(Value::Table(table)) => {
                self.modules.replace(path, &table);
                self.problems.extend(add(&mut self.groups, &shown, &table));
            }
            Some(other) => {
                let remedy = match other {
                    Value::Nil | Value::Boolean(true) => "; is the `return` at its end missing?",
                    _ => "",
                };
                let kind = if value.is_function() {
                    "the function it returns has to return"
                } else {
                    "it has to return"
                };
                self.problems
                    .push(format!("{shown}: {kind} a table of functions{remedy}"));
            }
            None => {}
        }
    }

    fn make(&mut self, path: &str, make: &Function) -> Option<Value> {
        let app = self.vm.globals().raw_get::<Value>("app").unwrap_or(Value::Nil);
        let result = self.vm.run::<Value>(make, app);
        self.noted(path, result)
    }

    fn noted(&mut self, path: &str, result: Result<Value, ScriptError>) -> Option<Value> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error.to_string(),
        };
        let prefix = self.modules.snapshot().shown("");
        let problem = if error.starts_with(&prefix) {
            error
        } else {
            format!("{}: {error}", self.modules.snapshot().shown(path))
        };
        self.problems.push(problem.replace('\n', " "));
        None
    }
}

#[cfg(test)]
mod tests;
