//! What scripts see of their server: `app`, sessions, channels, calls, timers, the log.
//!
//! One file per area, each with one `register`. Singletons are read-only tables of functions; a session and a channel
//! are userdata. Names are Pomelo's. What is here is declared in `handlers/meta/chathost.d.luau`, and a test holds the
//! two together ([`Registry`]).
//!
//! A function that can wait, or that fails with a `{ code, message }` which a script may want to catch, goes through
//! [`Registry::raising`] or [`Registry::waiting`]; any other reports misuse as a plain error.

mod app;
mod backend_session;
mod channel;
mod context;
mod convert;
mod filter;
mod global;
mod handles;
mod lists;
mod log;
mod rpc;
mod session;
mod session_service;
mod timer;

pub(crate) use context::Context;
pub(crate) use filter::{Chain, FilterSet, error_value};
pub(crate) use session::{SessionHandle, heard};
pub(crate) use timer::Repeat;

use crate::{
    budget::Budget,
    error::PRELUDE,
    memory,
    vm::{Limits, Vm},
    world::RealWorld,
};
use chathost_core::{app::App, error::CallError};
use mlua::{FromLuaMulti, Function, IntoLua, IntoLuaMulti, Lua, MultiValue, Table, Value};
use std::{cell::RefCell, collections::BTreeMap, future::Future, rc::Rc};

/// Puts everything into the globals of a VM whose sandbox is still open. Returns what was registered, by class.
pub(crate) fn register(vm: &Vm, context: &Rc<Context>) -> mlua::Result<BTreeMap<String, Vec<String>>> {
    let luau = vm
        .lua()
        .load(include_str!("api.luau"))
        .set_name(PRELUDE)
        .call(())?;
    let registry = Registry {
        vm,
        context,
        luau,
        classes: RefCell::default(),
    };
    let app = registry.class("App")?;
    session::register(&registry)?;
    channel::register(&registry, &app)?;
    session_service::register(&registry, &app)?;
    global::register(&registry, &app)?;
    backend_session::register(&registry, &app)?;
    rpc::register(&registry, &app)?;
    timer::register(&registry, &app)?;
    filter::register(&registry, &app)?;
    app::register(&registry, &app)?;
    log::register(&registry)?;
    registry.vm.lua().globals().set("app", app.seal())?;
    Ok(registry.classes.take())
}

/// The names that scripts see, by class, on such a server: what the reference in `handlers/meta/` is compared with.
///
/// # Errors
/// No VM can be made.
#[doc(hidden)]
pub fn registered(app: Rc<App>) -> mlua::Result<BTreeMap<String, Vec<String>>> {
    let context = Context::new(app);
    let mut classes = BTreeMap::new();
    Vm::new(Limits::default(), Rc::new(RealWorld::default()), |vm| {
        classes = register(vm, &context)?;
        let json: Table = vm.lua().globals().get("json")?;
        let names = json.pairs::<String, Value>().map(|pair| Ok(pair?.0));
        classes.insert("Json".to_owned(), names.collect::<mlua::Result<_>>()?);
        Ok(())
    })?;
    Ok(classes)
}

/// Registers functions, and remembers their names.
pub(crate) struct Registry<'a> {
    pub(crate) vm: &'a Vm,
    pub(crate) context: &'a Rc<Context>,
    /// The part that is written in Luau.
    pub(crate) luau: Table,
    classes: RefCell<BTreeMap<String, Vec<String>>>,
}

/// One class: a table of functions.
pub(crate) struct Class<'a> {
    name: &'static str,
    pub(crate) table: Table,
    registry: &'a Registry<'a>,
}

impl<'a> Registry<'a> {
    pub(crate) fn class(&'a self, name: &'static str) -> mlua::Result<Class<'a>> {
        Ok(Class {
            name,
            table: self.vm.lua().create_table()?,
            registry: self,
        })
    }
}

impl Class<'_> {
    pub(crate) fn lua(&self) -> &Lua {
        self.registry.vm.lua()
    }

    /// A value or a table of the class.
    pub(crate) fn field(&self, name: &str, value: impl IntoLua) -> mlua::Result<()> {
        self.registry
            .classes
            .borrow_mut()
            .entry(self.name.to_owned())
            .or_default()
            .push(name.to_owned());
        self.table.raw_set(name, value)
    }

    /// What the functions keep.
    fn captured(&self) -> (Rc<Context>, Budget) {
        (self.registry.context.clone(), self.registry.vm.budget().clone())
    }

    /// A function that returns at once. Its errors are misuse.
    pub(crate) fn method<A: FromLuaMulti, R: IntoLuaMulti>(
        &self,
        name: &str,
        function: impl Fn(&Rc<Context>, &Lua, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()> {
        let (context, budget) = self.captured();
        let function = self.registry.vm.lua().create_function(move |lua, args| {
            memory::lifted(lua, &budget, || function(&context, lua, args))
        })?;
        self.field(name, function)
    }

    /// A function that returns at once, or raises `{ code, message }`.
    pub(crate) fn raising<A: FromLuaMulti, R: IntoLuaMulti>(
        &self,
        name: &str,
        function: impl Fn(&Rc<Context>, &Lua, A) -> Result<R, CallError> + 'static,
    ) -> mlua::Result<()> {
        let (context, budget) = self.captured();
        let function = self.registry.vm.lua().create_function(move |lua, args| {
            memory::lifted(lua, &budget, || settled(lua, function(&context, lua, args)))
        })?;
        self.field(name, self.registry.vm.raising(function)?)
    }

    /// A function that waits, and returns results or raises `{ code, message }`.
    pub(crate) fn waiting<A, R, F>(
        &self,
        name: &str,
        function: impl Fn(Rc<Context>, Lua, A) -> F + 'static,
    ) -> mlua::Result<()>
    where
        A: FromLuaMulti + 'static,
        R: IntoLuaMulti,
        F: Future<Output = Result<R, CallError>> + 'static,
    {
        let function = self.waiting_function(function)?;
        self.field(name, function)
    }

    /// As `waiting`, not registered under a name.
    pub(crate) fn waiting_function<A, R, F>(
        &self,
        function: impl Fn(Rc<Context>, Lua, A) -> F + 'static,
    ) -> mlua::Result<Function>
    where
        A: FromLuaMulti + 'static,
        R: IntoLuaMulti,
        F: Future<Output = Result<R, CallError>> + 'static,
    {
        let (context, budget) = self.captured();
        let function = self
            .registry
            .vm
            .lua()
            .create_async_function(move |lua: Lua, args: A| {
                let budget = budget.clone();
                let waiting = {
                    let _lifted = memory::lift(&lua);
                    // Boxed, so that it goes when it ends: what is around it stays until garbage is collected, and to Luau
                    // it is a few bytes.
                    Box::pin(function(context.clone(), lua.clone(), args))
                };
                async move {
                    let outcome = waiting.await;
                    memory::lifted(&lua, &budget, || settled(&lua, outcome))
                }
            })?;
        self.registry.vm.raising(function)
    }

    /// The finished table: nothing can be added.
    pub(crate) fn seal(self) -> Table {
        self.table.set_readonly(true);
        self.table
    }
}

/// `true, results…` or `false, { code, message }`: what `raising` in the prelude makes of it.
fn settled(lua: &Lua, outcome: Result<impl IntoLuaMulti, CallError>) -> mlua::Result<MultiValue> {
    match outcome {
        Ok(results) => {
            let mut all = results.into_lua_multi(lua)?;
            all.push_front(Value::Boolean(true));
            Ok(all)
        }
        Err(error) => (false, convert::error_table(lua, &error)?).into_lua_multi(lua),
    }
}
