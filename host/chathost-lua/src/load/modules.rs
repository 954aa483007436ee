//! The files that a VM has loaded: each runs once, in an environment of its own, and `require` gives what it returned.

use super::{snapshot::Snapshot, sources::Sources};
use crate::vm::Vm;
use mlua::{
    Function, Lua, LuaString, Table, Value,
    chunk::{ChunkMode, Compiler},
};
use std::{cell::RefCell, collections::BTreeMap, fmt, rc::Rc, sync::Arc};

/// The modules of one VM.
pub(super) struct Modules {
    snapshot: Arc<Snapshot>,
    compiler: Compiler,
    state: RefCell<State>,
    /// The metatable of environments: what a file has not assigned is looked up in the globals.
    environment: Table,
}

#[derive(Default)]
struct State {
    loaded: BTreeMap<String, Value>,
    /// Those that are running their top level, outermost first. One that failed stays.
    loading: Vec<String>,
    sources: Sources,
    require: Option<Function>,
    is_closed: bool,
}

/// What the prelude asks for: see there.
type Found = (Option<bool>, Value, Option<String>);

impl Modules {
    /// No modules yet, and the `require` that loads them.
    pub(super) fn new(vm: &Vm, snapshot: Arc<Snapshot>) -> mlua::Result<(Rc<Self>, Function)> {
        let lua = vm.lua();
        let environment = lua.create_table()?;
        environment.raw_set("__index", vm.globals())?;
        environment.raw_set("__metatable", false)?;
        environment.set_readonly(true);
        let modules = Rc::new(Self {
            snapshot,
            compiler: vm.compiler(),
            state: RefCell::default(),
            environment,
        });
        let own = Rc::clone(&modules);
        let find = lua.create_function(move |lua, name: LuaString| {
            own.find(lua, &name.to_string_lossy()).or_else(|problem| {
                let problem = lua.create_string(problem)?;
                Ok((None, Value::String(problem), None))
            })
        })?;
        let own = Rc::clone(&modules);
        let keep = lua.create_function(move |_, (path, value): (LuaString, Value)| {
            Ok(own.keep(&path.to_string_lossy(), value))
        })?;
        let require: Function = vm.modules().call((find, keep))?;
        modules.state.borrow_mut().require = Some(require.clone());
        Ok((modules, require))
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The table that a file returned.
    pub(super) fn table(&self, name: &str) -> Option<Table> {
        self.state
            .borrow()
            .loaded
            .get(&format!("{name}.lua"))?
            .as_table()
            .cloned()
    }

    pub(super) fn replace(&self, path: &str, table: &Table) {
        self.state
            .borrow_mut()
            .loaded
            .insert(path.to_owned(), Value::Table(table.clone()));
    }

    pub(super) fn sources(&self) -> Sources {
        self.state.borrow().sources.clone()
    }

    /// From now on only what is loaded can be required: a file that changes later belongs to the next generation.
    pub(super) fn close(&self) {
        self.state.borrow_mut().is_closed = true;
    }

    fn find(&self, lua: &Lua, name: &str) -> Result<Found, String> {
        let path = self.snapshot.resolve(name)?;
        let mut state = self.state.borrow_mut();
        if let Some(value) = state.loaded.get(&path) {
            return Ok((Some(true), value.clone(), None));
        }
        let shown = self.snapshot.shown(&path);
        if state.is_closed {
            return Err(format!(
                "{shown} was not loaded with the others: require it at the top of a file"
            ));
        }
        if let Some(first) = state.loading.iter().position(|loading| *loading == path) {
            let way: Vec<_> = state
                .loading
                .iter()
                .skip(first)
                .map(|path| self.snapshot.shown(path))
                .collect();
            return Err(format!(
                "{shown} is not loaded yet when it is required again: {} → {shown}; move what both need into a \
                 third file",
                way.join(" → ")
            ));
        }
        let script = self.snapshot.get(&path)?;
        state.sources.add(&path, script.hash);
        let require = state.require.clone();
        drop(state);
        let chunk = self
            .compile(lua, &path, &script.text, require)
            .map_err(|error| crate::error::innermost(&error))?;
        self.state.borrow_mut().loading.push(path.clone());
        Ok((Some(false), Value::Function(chunk), Some(path)))
    }

    fn compile(
        &self,
        lua: &Lua,
        path: &str,
        text: &[u8],
        require: Option<Function>,
    ) -> mlua::Result<Function> {
        let environment = lua.create_table()?;
        environment.raw_set("_G", &environment)?;
        environment.raw_set("require", require)?;
        environment.set_metatable(Some(self.environment.clone()))?;
        // Library functions are called directly, as in the globals themselves: the libraries cannot change.
        environment.set_safeenv(true);
        // `=`: the name is shown as it is, `handlers/chat.lua:12`. Only text: Luau does not check bytecode.
        lua.load(text)
            .set_name(format!("={}", self.snapshot.shown(path)))
            .set_mode(ChunkMode::Text)
            .set_compiler(self.compiler.clone())
            .set_environment(environment)
            .into_function()
    }

    fn keep(&self, path: &str, value: Value) -> Value {
        let value = if value.is_nil() {
            Value::Boolean(true)
        } else {
            value
        };
        let mut state = self.state.borrow_mut();
        state.loading.retain(|loading| loading != path);
        state.loaded.insert(path.to_owned(), value.clone());
        value
    }
}

impl fmt::Debug for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Modules")
            .field("sources", &self.state.borrow().sources)
            .finish_non_exhaustive()
    }
}
