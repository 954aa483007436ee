//! What the API's functions reach: the server, and the VM they are called from.

use super::{FilterSet, session::SessionHandle, timer::Timers};
use crate::{
    budget::{CallLimits, Spend},
    error::ScriptError,
    load::Scripts,
    memory::{self, Limit},
    value::Json,
    vm::{Results, Vm},
};
use chathost_core::{app::App, session::BackendSession};
use futures_util::future::LocalBoxFuture;
use mlua::{Function, IntoLuaMulti, Lua, Value};
use std::{
    cell::{OnceCell, RefCell},
    collections::HashSet,
    rc::{Rc, Weak},
};

/// One generation's reach. The server holds the generation, and the generation's functions hold this: weakly, where it
/// leads back to the VM.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) app: Rc<App>,
    /// `1`, and the beginning of the hash of its sources: in every log line about its scripts.
    pub(crate) generation: RefCell<String>,
    pub(crate) filters: RefCell<FilterSet>,
    /// Routes that opted out of the order of their session: `app:concurrent`.
    pub(crate) concurrent: RefCell<HashSet<String>>,
    pub(crate) timers: Timers,
    vm: OnceCell<Weak<Vm>>,
    json: OnceCell<Json>,
    scripts: OnceCell<Weak<Scripts>>,
}

/// A generation that must not go away: a timer is set, or a session has a listener of it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) context: Rc<Context>,
    _vm: Rc<Vm>,
    _scripts: Option<Rc<Scripts>>,
}

impl Context {
    /// Keeps the generation; `None` if its VM has ended.
    pub(crate) fn hold(self: &Rc<Self>) -> Option<Held> {
        let scripts = self.scripts.get().and_then(Weak::upgrade);
        Some(Held {
            context: self.clone(),
            _vm: self.vm()?,
            _scripts: scripts,
        })
    }

    pub(crate) fn new(app: Rc<App>) -> Rc<Self> {
        Rc::new(Self {
            app,
            generation: RefCell::default(),
            filters: RefCell::default(),
            concurrent: RefCell::default(),
            timers: Timers::default(),
            vm: OnceCell::new(),
            json: OnceCell::new(),
            scripts: OnceCell::new(),
        })
    }

    /// The VM exists from now on. Called once.
    pub(crate) fn set_vm(&self, vm: &Rc<Vm>) {
        // A second call changes nothing.
        drop(self.vm.set(Rc::downgrade(vm)));
        drop(self.json.set(vm.json().clone()));
    }

    /// The scripts are loaded. Called once.
    pub(crate) fn set_scripts(&self, scripts: &Rc<Scripts>, generation: String) {
        drop(self.scripts.set(Rc::downgrade(scripts)));
        self.generation.replace(generation);
    }

    /// The scripts are not loaded yet.
    pub(crate) fn is_loading(&self) -> bool {
        self.scripts.get().is_none()
    }

    /// The VM, unless it has ended.
    pub(crate) fn vm(&self) -> Option<Rc<Vm>> {
        self.vm.get()?.upgrade()
    }

    /// The VM's JSON. Fails only before there is a VM, and then nobody calls.
    pub(crate) fn json(&self) -> mlua::Result<&Json> {
        self.json
            .get()
            .ok_or_else(|| mlua::Error::runtime("the scripts of this call are not loaded yet"))
    }

    /// For whoever calls a script's function in the middle of one of the host's.
    pub(crate) fn impose_limit<'a>(&self, lua: &'a Lua) -> Limit<'a> {
        memory::impose(lua, self.vm().map_or(0, |vm| vm.limits().memory))
    }

    /// Counts something that the call asks of others.
    pub(crate) fn spend(&self, lua: &Lua, what: Spend) -> mlua::Result<()> {
        self.vm().map_or(Ok(()), |vm| vm.budget().spend(lua, what))
    }

    /// The host is to keep something. What it keeps for garbage is no reason to refuse that.
    pub(crate) fn make_room(&self, lua: &Lua) -> mlua::Result<()> {
        if self.app.is_littered() {
            lua.gc_collect()?;
        }
        Ok(())
    }

    /// A function that a module returned: what a listener's name means.
    pub(crate) fn named(&self, module: &str, function: &str) -> Option<Function> {
        self.scripts
            .get()?
            .upgrade()?
            .module(module)?
            .raw_get(function)
            .ok()
    }

    /// A session as scripts hold it.
    pub(crate) fn session(&self, lua: &Lua, session: Rc<BackendSession>) -> mlua::Result<Value> {
        lua.create_userdata(SessionHandle(session)).map(Value::UserData)
    }

    /// Calls a script's function as a call of its own, with the usual limits. `args` is asked within the call.
    pub(crate) fn call<R: Results + 'static, A: IntoLuaMulti + 'static>(
        &self,
        function: Function,
        args: impl FnOnce(&Vm) -> mlua::Result<A> + 'static,
    ) -> LocalBoxFuture<'static, Result<R, ScriptError>> {
        let Some(vm) = self.vm() else {
            return Box::pin(async { Err(ScriptError::Dropped) });
        };
        let (budget, limits): (_, CallLimits) = (vm.budget().clone(), vm.limits().call);
        let call = Box::pin(async move {
            let args = args(&vm)?;
            vm.invoke::<R>(&function, args).await
        });
        Box::pin(budget.watch(limits, call))
    }

    /// Writes what went wrong in a script to the log.
    pub(crate) fn log_error(&self, what: &str, sid: Option<u64>, error: &ScriptError) {
        if let ScriptError::Memory { strained: true, .. } = error {
            self.app.renew();
        }
        let traceback = error
            .raised()
            .map(|raised| raised.traceback.as_str())
            .unwrap_or_default();
        let generation = &*self.generation.borrow();
        let line_break = if traceback.is_empty() { "" } else { "\n" };
        tracing::error!(%what, sid, %generation, "{error}{line_break}{traceback}");
    }
}
