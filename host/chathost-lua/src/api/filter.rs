//! `app:filter` and its kin: functions in front of handlers and behind them.
//!
//! In front they run in the order in which they were added, behind in reverse. One that returns something answers in
//! the handler's stead; one that raises ends the message with its error. One that declares a parameter more waits for
//! `next(err, resp)` to be called, as Pomelo's do.

use super::{Class, Context, Registry, convert};
use crate::{error::ScriptError, next};
use chathost_core::{envelope::ServerId, error::CallError};
use mlua::{Function, Lua, LuaString, MultiValue, Table, Value};
use std::rc::Rc;

/// A filter chain's functions.
#[derive(Debug, Default, Clone)]
pub(crate) struct Chain {
    pub(crate) before: Vec<Function>,
    pub(crate) after: Vec<Function>,
}

/// All filters of a generation.
#[derive(Debug, Default)]
pub(crate) struct FilterSet {
    /// Around handlers, on the server that runs them. Shared with the calls that run.
    pub(crate) own: Rc<Chain>,
    /// Around every message of a client, on its frontend.
    pub(crate) global: Rc<Chain>,
    pub(crate) rpc_before: Vec<Function>,
    pub(crate) rpc_after: Vec<Function>,
    /// Answers in place of a handler that failed: `errorHandler(err, msg, resp, session)`.
    pub(crate) error_handler: Option<Function>,
    /// The same for messages that failed on the frontend.
    pub(crate) global_error_handler: Option<Function>,
}

impl Chain {
    pub(crate) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

pub(super) fn register(_: &Registry<'_>, app: &Class<'_>) -> mlua::Result<()> {
    for (name, which, front, behind) in [
        ("filter", Which::Own, true, true),
        ("before", Which::Own, true, false),
        ("after", Which::Own, false, true),
        ("globalFilter", Which::Global, true, true),
        ("globalBefore", Which::Global, true, false),
        ("globalAfter", Which::Global, false, true),
        ("rpcFilter", Which::Rpc, true, true),
        ("rpcBefore", Which::Rpc, true, false),
        ("rpcAfter", Which::Rpc, false, true),
    ] {
        app.method(name, move |context, _, (_, filter): (Value, Value)| {
            let (before, after) = functions(name, &filter, front, behind)?;
            context.filters.borrow_mut().add(which, before, after);
            Ok(())
        })?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Own,
    Global,
    Rpc,
}

fn functions(
    name: &str,
    filter: &Value,
    front: bool,
    behind: bool,
) -> mlua::Result<(Option<Function>, Option<Function>)> {
    let (before, after) = match filter {
        // A bare function is what the name says; with `filter` it stands in front.
        Value::Function(function) if front => (Some(function.clone()), None),
        Value::Function(function) => (None, Some(function.clone())),
        Value::Table(table) => {
            let before = if front {
                table.raw_get::<Option<Function>>("before")?
            } else {
                None
            };
            let after = if behind {
                table.raw_get::<Option<Function>>("after")?
            } else {
                None
            };
            (before, after)
        }
        _ => (None, None),
    };
    if before.is_none() && after.is_none() {
        return Err(mlua::Error::runtime(format!(
            "app:{name} takes a function, or a table with functions `before` and `after`"
        )));
    }
    Ok((before, after))
}

impl FilterSet {
    fn add(&mut self, which: Which, before: Option<Function>, after: Option<Function>) {
        let (front, behind) = match which {
            Which::Own => {
                let chain = Rc::make_mut(&mut self.own);
                (&mut chain.before, &mut chain.after)
            }
            Which::Global => {
                let chain = Rc::make_mut(&mut self.global);
                (&mut chain.before, &mut chain.after)
            }
            Which::Rpc => (&mut self.rpc_before, &mut self.rpc_after),
        };
        front.extend(before);
        if let Some(after) = after {
            behind.insert(0, after);
        }
    }
}

impl Context {
    /// The filters in front. `Some`: the answer, and nothing after it runs.
    pub(crate) async fn before(
        &self,
        chain: &Chain,
        msg: &Value,
        session: &Value,
    ) -> Result<Option<Value>, ScriptError> {
        let vm = self.vm().ok_or(ScriptError::Dropped)?;
        for filter in &chain.before {
            let args = MultiValue::from_iter([msg.clone(), session.clone()]);
            let answer = next::call(&vm, filter, args).await?;
            if !answer.is_nil() {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// The filters behind, each of which may put another answer or error in place of what there is.
    pub(crate) async fn after(
        &self,
        chain: &Chain,
        mut outcome: Result<Value, ScriptError>,
        msg: &Value,
        session: &Value,
    ) -> Result<Value, ScriptError> {
        let vm = self.vm().ok_or(ScriptError::Dropped)?;
        for filter in &chain.after {
            let (error, resp) = match &outcome {
                Ok(resp) => (Value::Nil, resp.clone()),
                Err(error) => (error_value(vm.lua(), error)?, Value::Nil),
            };
            let args = MultiValue::from_iter([error, msg.clone(), session.clone(), resp]);
            match next::call(&vm, filter, args).await {
                Ok(Value::Nil) => {}
                Ok(answer) => outcome = Ok(answer),
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// `before(serverId, msg, opts)`: may return another server's id, or raise.
    pub(super) async fn rpc_before(
        &self,
        lua: &Lua,
        to: &ServerId,
        server_type: &LuaString,
        method: &str,
    ) -> Result<ServerId, CallError> {
        let (vm, filters) = (
            self.vm().ok_or_else(ended)?,
            self.filters.borrow().rpc_before.clone(),
        );
        let mut to = to.clone();
        for filter in &filters {
            let args = rpc_args(lua, &to, server_type, method).map_err(|error| convert::mistake(&error))?;
            match next::call(&vm, filter, args).await {
                Ok(Value::String(id)) => to = convert::text(&id).into(),
                Ok(_) => {}
                Err(error) => {
                    self.log_error("an rpc filter", None, &error);
                    return Err(CallError::failed("an rpc filter refused the call"));
                }
            }
        }
        Ok(to)
    }

    pub(super) async fn rpc_after(&self, lua: &Lua, to: &ServerId, server_type: &LuaString, method: &str) {
        let filters = self.filters.borrow().rpc_after.clone();
        let Some(vm) = self.vm() else { return };
        for filter in &filters {
            let Ok(args) = rpc_args(lua, to, server_type, method) else {
                return;
            };
            if let Err(error) = next::call(&vm, filter, args).await {
                self.log_error("an rpc filter", None, &error);
            }
        }
    }
}

/// What a script sees of an error: the raised table, or the message.
pub(crate) fn error_value(lua: &Lua, error: &ScriptError) -> mlua::Result<Value> {
    match error.raised().and_then(|raised| raised.table.clone()) {
        Some(table) => Ok(Value::Table(table)),
        None => lua.create_string(error.to_string()).map(Value::String),
    }
}

fn rpc_args(lua: &Lua, to: &ServerId, server_type: &LuaString, method: &str) -> mlua::Result<MultiValue> {
    let msg: Table = lua.create_table()?;
    let (service, method) = method.split_once('.').unwrap_or((method, ""));
    msg.raw_set("namespace", "user")?;
    msg.raw_set("serverType", server_type)?;
    msg.raw_set("service", service)?;
    msg.raw_set("method", method)?;
    let (to, opts) = (lua.create_string(&**to)?, lua.create_table()?);
    Ok(MultiValue::from_iter([
        Value::String(to),
        Value::Table(msg),
        Value::Table(opts),
    ]))
}

fn ended() -> CallError {
    CallError::failed("the scripts of this call have ended")
}
