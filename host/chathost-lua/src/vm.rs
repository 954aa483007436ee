//! One script VM: Luau with the libraries that cannot hurt, a memory limit, a watch over time, and a closed sandbox.
//!
//! It knows no host API; what a server offers its scripts is registered by the caller of [`Vm::new`], before the sandbox
//! closes. A VM belongs to one server and one generation, and lives on that server's thread.
//!
//! **Globals.** After the sandbox is closed nothing shared can be changed: the libraries, the metatable of strings and
//! the table of globals are read-only, and a script that tries gets an error. Every file has an environment of its own
//! for the globals it assigns ([`crate::load`]): they are seen by that file's functions and nobody else's, so a forgotten
//! `local` costs nothing but speed. Files share what they return, through `require`.

mod libraries;

pub(crate) use libraries::PRINTS;

use crate::{
    budget::{Budget, Budgeted, CallLimits},
    error::{Raised, ScriptError, Trace, code_of},
    memory,
    value::Json,
    world::World,
};
use mlua::{
    FromLuaMulti, Function, IntoLuaMulti, Lua, LuaOptions, MultiValue, StdLib, Table, Value, chunk::Compiler,
    function::AsyncCallFuture,
};
use std::{
    collections::BTreeSet,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// What a VM and its calls may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of every call.
    pub call: CallLimits,
    /// Time to load all files of a generation.
    pub load: Duration,
    /// Bytes of memory of the VM, while script code runs and when a function of the host has returned.
    pub memory: usize,
    /// Bytes of JSON that are read or written at once.
    pub json: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: CallLimits::default(),
            load: Duration::from_secs(1),
            memory: 64 << 20,
            json: 1 << 20,
        }
    }
}

/// A script VM.
#[derive(Debug)]
pub struct Vm {
    lua: Lua,
    json: Json,
    budget: Budget,
    world: Rc<dyn World>,
    limits: Limits,
    /// Luau's own, not what a script might call so.
    xpcall: Function,
    on_error: Function,
    raising: Function,
    modules: Function,
    globals: Table,
    /// What `register` added to them.
    registered: Vec<String>,
}

impl Vm {
    /// A VM without scripts. `register` adds the host's API to its globals, `vm.lua().globals()`.
    ///
    /// The tables among them become read-only when it returns. Tables in those tables do not: `register` has to make
    /// them so itself ([`Table::set_readonly`]).
    ///
    /// # Errors
    /// What `register` fails with, or too little memory.
    pub fn new(
        limits: Limits,
        world: Rc<dyn World>,
        register: impl FnOnce(&Self) -> mlua::Result<()>,
    ) -> mlua::Result<Self> {
        let libraries = StdLib::COROUTINE
            | StdLib::TABLE
            | StdLib::OS
            | StdLib::STRING
            | StdLib::UTF8
            | StdLib::BIT
            | StdLib::MATH
            | StdLib::BUFFER
            | StdLib::VECTOR
            | StdLib::DEBUG;
        // Coroutines of finished calls are kept for the next ones.
        let lua = Lua::new_with(libraries, LuaOptions::new().thread_pool_size(64))?;
        let budget = Budget::new(limits.memory);
        let json = Json::new(&lua, budget.clone(), limits.json)?;
        let xpcall = lua.globals().get("xpcall")?;
        let on_error = lua.create_function({
            let budget = budget.clone();
            move |lua, raised: Value| {
                let is_answer = raised.as_table().is_some_and(|table| code_of(table).is_some());
                if !is_answer {
                    budget.keep_trace(Trace::of_script(lua));
                }
                Ok(raised)
            }
        })?;
        let prelude = libraries::install(&lua, &json, &budget, world.clone())?;
        let mut vm = Self {
            json,
            budget,
            world,
            limits,
            xpcall,
            on_error,
            raising: prelude.get("raising")?,
            modules: prelude.get("modules")?,
            // Those under the sandbox, which are read-only once it is closed.
            globals: lua.globals(),
            registered: Vec::new(),
            lua,
        };
        let own = names(&vm.globals)?;
        register(&vm)?;
        vm.registered = names(&vm.globals)?.difference(&own).cloned().collect();
        vm.lua.sandbox(true)?;
        vm.lua.gc_collect()?;
        vm.budget.install(&vm.lua);
        Ok(vm)
    }

    /// The mlua state. Script functions are called through [`Vm::invoke`] and [`Vm::run`], not directly.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// JSON for this VM.
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// The time and the chance that its scripts see.
    pub fn world(&self) -> &dyn World {
        &*self.world
    }

    /// The watch over this VM's calls.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What it and its calls may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes of memory in use.
    pub fn used_memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Calls a function as a coroutine, so that it may wait for the host. To be polled within a call
    /// ([`Budget::watch`], [`Vm::call`]).
    pub fn invoke<R: Results>(&self, function: &Function, args: impl IntoLuaMulti) -> Invocation<R> {
        Invocation {
            future: Some(self.xpcall.call_async((function, &self.on_error, args))),
            lua: self.lua.clone(),
            budget: self.budget.clone(),
            memory: self.limits.memory,
        }
    }

    /// One invocation as a call of its own.
    pub fn call<R: Results>(&self, function: &Function, args: impl IntoLuaMulti) -> Budgeted<Invocation<R>> {
        self.budget.watch(self.limits.call, self.invoke(function, args))
    }

    /// Calls a function that may not wait, within a call that was entered.
    ///
    /// # Errors
    /// What the function raised, or why the call was ended.
    pub fn run<R: Results>(&self, function: &Function, args: impl IntoLuaMulti) -> Result<R, ScriptError> {
        let result = {
            let _limit = memory::impose(&self.lua, self.limits.memory);
            self.xpcall.call::<(bool, R)>((function, &self.on_error, args))
        };
        outcome(&self.lua, &self.budget, result)
    }

    /// The VM has not enough memory for what it is given.
    pub(crate) fn out_of_memory(&self) -> ScriptError {
        ScriptError::Memory {
            limit: self.budget.memory_limit(),
            at: None,
            strained: self.budget.is_strained(&self.lua),
        }
    }

    /// Makes of a host function that returns `true, results…` or `false, table` one that raises the table: the way to
    /// raise `{ code, message }`, since what a Rust function fails with is not a table in a script.
    ///
    /// # Errors
    /// Too little memory.
    pub fn raising(&self, function: Function) -> mlua::Result<Function> {
        self.raising.call(function)
    }

    /// The prelude's part of `require`.
    pub(crate) fn modules(&self) -> &Function {
        &self.modules
    }

    /// What all scripts see and none can change.
    pub(crate) fn globals(&self) -> &Table {
        &self.globals
    }

    /// Compiles scripts. Luau looks up `math.floor` once, when it loads a file, and would do so with `app.anything`;
    /// but what the host offers may have another value the next time.
    pub(crate) fn compiler(&self) -> Compiler {
        Compiler::new().set_mutable_globals(self.registered.iter().map(String::as_str))
    }
}

fn names(table: &Table) -> mlua::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    table.for_each(|name: String, _: Value| {
        names.insert(name);
        Ok(())
    })?;
    Ok(names)
}

/// What an invocation may return: one [`Value`] (the first), or all as [`MultiValue`].
pub trait Results: FromLuaMulti + sealed::Sealed {
    /// The first value.
    #[doc(hidden)]
    fn first(&self) -> Value;
}

impl Results for Value {
    fn first(&self) -> Value {
        self.clone()
    }
}

impl Results for MultiValue {
    fn first(&self) -> Value {
        self.front().cloned().unwrap_or(Value::Nil)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for mlua::Value {}
    impl Sealed for mlua::MultiValue {}
}

/// A function that runs. See [`Vm::invoke`].
pub struct Invocation<R: Results> {
    future: Option<AsyncCallFuture<(bool, R)>>,
    lua: Lua,
    budget: Budget,
    memory: usize,
}

impl<R: Results> Future for Invocation<R> {
    type Output = Result<R, ScriptError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(future) = &mut this.future else {
            return Poll::Ready(Err(ScriptError::Dropped));
        };
        let result = {
            let _limit = memory::impose(&this.lua, this.memory);
            ready!(Pin::new(future).poll(context))
        };
        // The coroutine goes back to the pool, and is no root when memory is collected.
        this.future = None;
        Poll::Ready(outcome(&this.lua, &this.budget, result))
    }
}

impl<R: Results> fmt::Debug for Invocation<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("runs", &self.future.is_some())
            .finish_non_exhaustive()
    }
}

fn outcome<R: Results>(
    lua: &Lua,
    budget: &Budget,
    result: mlua::Result<(bool, R)>,
) -> Result<R, ScriptError> {
    let raised = match result {
        Ok((true, results)) => return budget.verdict().map_or(Ok(results), Err),
        Ok((false, raised)) => raised.first(),
        // `xpcall` catches what scripts raise. What gets past it is a failure of the VM.
        Err(error) => Value::Error(Box::new(error)),
    };
    let trace = budget.take_trace();
    if let Some(verdict) = budget.verdict() {
        return Err(verdict);
    }
    if !is_out_of_memory(&raised) {
        return Err(ScriptError::Raised(Box::new(Raised::new(&raised, trace))));
    }
    drop(raised);
    Err(ScriptError::Memory {
        limit: budget.memory_limit(),
        at: trace.at,
        strained: budget.is_strained(lua),
    })
}

/// Luau raises a text. A script that raises the same text causes one collection and gets a 503: no harm.
fn is_out_of_memory(raised: &Value) -> bool {
    match raised {
        Value::String(text) => *text == "not enough memory",
        Value::Error(error) => error
            .chain()
            .any(|cause| matches!(cause.downcast_ref(), Some(mlua::Error::MemoryError(_)))),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
