//! `app`: the server as a script sees it.

use super::{Class, Context, Registry, convert};
use crate::next;
use chathost_core::{
    config::ServerInfo,
    error::CallError,
    handler::{CheckClient, UserHandshake},
    hash,
};
use mlua::{Function, IntoLua, Lua, LuaString, MultiValue, Table, Value};
use std::{rc::Rc, sync::Arc};

pub(super) fn register(registry: &Registry<'_>, app: &Class<'_>) -> mlua::Result<()> {
    let server = registry.context.app.clone();
    app.field("serverId", &**server.id())?;
    app.field("serverType", server.server_type())?;
    app.field("env", server.cluster.env.as_str())?;
    values(app)?;
    identity(app)?;
    servers(app)?;
    outside(registry, app)?;
    app.method("configure", configure)?;
    app.method("concurrent", |context, _, (_, route): (Value, LuaString)| {
        // Later nobody looks any more.
        if context.is_loading() {
            context.concurrent.borrow_mut().insert(convert::text(&route));
        }
        Ok(())
    })
}

/// `app:enable` and `app:disable`.
fn switch(context: &Context, key: &LuaString, on: bool) -> mlua::Result<()> {
    context
        .app
        .set(&convert::text(key), on.into())
        .map_err(|error| convert::misuse(&error))
}

/// `app:set` and `app:get`: JSON values that outlive the generation. Functions are the generation's, and have names
/// that the host knows.
fn values(app: &Class<'_>) -> mlua::Result<()> {
    app.method(
        "set",
        |context, lua, (_, key, value): (Value, LuaString, Value)| {
            let key = convert::text(&key);
            match (key.as_str(), value) {
                ("connectorConfig", Value::Table(config)) => connector_config(context, &config),
                ("errorHandler", value) => {
                    context.filters.borrow_mut().error_handler = function("errorHandler", value)?;
                    Ok(())
                }
                ("globalErrorHandler", value) => {
                    context.filters.borrow_mut().global_error_handler =
                        function("globalErrorHandler", value)?;
                    Ok(())
                }
                (key, value) => {
                    context.make_room(lua)?;
                    let value = convert::from_lua(context, &value)?;
                    context
                        .app
                        .set(key, value)
                        .map_err(|error| convert::misuse(&error))
                }
            }
        },
    )?;
    app.method("get", |context, lua, (this, key): (Table, LuaString)| {
        if let Some(value) = context.app.get(&convert::text(&key)) {
            return convert::to_lua(context, lua, &value);
        }
        // Pomelo keeps its services under their names: app.get('channelService'), app.get('serverId').
        match this.raw_get::<Value>(&key)? {
            Value::Function(_) => Ok(Value::Nil),
            value => Ok(value),
        }
    })?;
    app.method("enable", |context, _, (_, key): (Value, LuaString)| {
        switch(context, &key, true)
    })?;
    app.method("disable", |context, _, (_, key): (Value, LuaString)| {
        switch(context, &key, false)
    })?;
    app.method("enabled", |context, _, (_, key): (Value, LuaString)| {
        Ok(context.app.get(&convert::text(&key)) == Some(true.into()))
    })?;
    app.method("disabled", |context, _, (_, key): (Value, LuaString)| {
        Ok(context.app.get(&convert::text(&key)) != Some(true.into()))
    })
}

fn function(name: &str, value: Value) -> mlua::Result<Option<Function>> {
    match value {
        Value::Nil => Ok(None),
        Value::Function(function) => Ok(Some(function)),
        other => Err(mlua::Error::runtime(format!(
            "{name} is a function, not {}",
            other.type_name()
        ))),
    }
}

/// The functions that the connector calls. What is no function belongs into `chathost.json`.
fn connector_config(context: &Rc<Context>, config: &Table) -> mlua::Result<()> {
    for pair in config.pairs::<LuaString, Value>() {
        let (key, value) = pair?;
        let key = convert::text(&key);
        match (key.as_str(), value) {
            ("checkClient", Value::Function(function)) => check_client(context, function),
            ("handshake", Value::Function(function)) => handshake(context, function),
            _ => {
                return Err(mlua::Error::runtime(format!(
                    "connectorConfig has the functions checkClient and handshake; `{key}` belongs into chathost.json"
                )));
            }
        }
    }
    Ok(())
}

fn check_client(context: &Rc<Context>, function: Function) {
    let weak = Rc::downgrade(context);
    let check: CheckClient = Rc::new(move |kind, version| {
        let (weak, function, kind, version) = (weak.clone(), function.clone(), kind.clone(), version.clone());
        Box::pin(async move {
            let context = weak.upgrade().ok_or_else(ended)?;
            let own = context.clone();
            let call = context.call::<Value, _>(function, move |vm| {
                Ok((
                    convert::to_lua(&own, vm.lua(), &kind)?,
                    convert::to_lua(&own, vm.lua(), &version)?,
                ))
            });
            let answer = call.await.map_err(|error| {
                context.log_error("checkClient", None, &error);
                CallError::failed("checkClient failed")
            })?;
            Ok(!matches!(answer, Value::Nil | Value::Boolean(false)))
        })
    });
    context.app.install(move |app| {
        app.hooks.check_client.replace(Some(check));
    });
}

fn handshake(context: &Rc<Context>, function: Function) {
    let weak = Rc::downgrade(context);
    let answer: UserHandshake = Rc::new(move |message, address| {
        let (weak, function) = (weak.clone(), function.clone());
        let (message, address) = (message.clone(), address.to_owned());
        Box::pin(async move {
            let context = weak.upgrade().ok_or_else(ended)?;
            let vm = context.vm().ok_or_else(ended)?;
            let own = context.clone();
            let (budget, limits) = (vm.budget().clone(), vm.limits().call);
            let call = Box::pin(async move {
                let message = convert::to_lua(&own, vm.lua(), &message)?;
                // Two parameters; a third would be `next`.
                let args = MultiValue::from_iter([message, address.into_lua(vm.lua())?]);
                let user = next::call(&vm, &function, args).await?;
                match user {
                    Value::Nil => Ok(None),
                    user => Ok(Some(convert::encode(&own, &user)?.into())),
                }
            });
            budget.watch(limits, call).await.map_err(|error| {
                context.log_error("handshake", None, &error);
                CallError::failed("the handshake function refused")
            })
        })
    });
    context.app.install(move |app| {
        app.hooks.handshake.replace(Some(answer));
    });
}

fn ended() -> CallError {
    CallError::failed("the scripts of this function have ended")
}

fn identity(app: &Class<'_>) -> mlua::Result<()> {
    app.method("getServerId", |context, lua, _: Value| {
        lua.create_string(&**context.app.id())
    })?;
    app.method("getServerType", |context, lua, _: Value| {
        lua.create_string(context.app.server_type())
    })?;
    app.method("getCurServer", |context, lua, _: Value| {
        convert::server(context, lua, &context.app.info)
    })?;
    app.method("getBase", |context, lua, _: Value| {
        lua.create_string(context.app.cluster.base.to_string_lossy().as_bytes())
    })?;
    app.method("isFrontend", |context, _, _: Value| Ok(context.app.info.frontend))?;
    app.method("isBackend", |context, _, _: Value| Ok(!context.app.info.frontend))?;
    app.method("isMaster", |_, _, _: Value| Ok(false))
}

/// `getServers…` are the live ones, `…FromConfig` those of the file; here every server of the file is known to live
/// until a call finds otherwise.
fn servers(app: &Class<'_>) -> mlua::Result<()> {
    for name in ["getServers", "getServersFromConfig"] {
        app.method(name, |context, lua, _: Value| {
            let servers = lua.create_table()?;
            for info in context.app.cluster.servers() {
                servers.raw_set(&*info.id, convert::server(context, lua, info)?)?;
            }
            Ok(servers)
        })?;
    }
    for name in ["getServerById", "getServerFromConfig"] {
        app.method(name, |context, lua, (_, id): (Value, LuaString)| {
            match context.app.cluster.server(&convert::text(&id)) {
                Some(info) => convert::server(context, lua, info),
                None => Ok(Value::Nil),
            }
        })?;
    }
    app.method("getServerTypes", |context, lua, _: Value| {
        let types = lua.create_sequence_from(context.app.cluster.types().map(|name| &**name))?;
        context.json()?.mark_array(&types)?;
        Ok(types)
    })?;
    app.method(
        "getServersByType",
        |context, lua, (_, server_type): (Value, LuaString)| {
            let server_type = convert::text(&server_type);
            let servers = context.app.cluster.servers_of(&server_type);
            let list = list_of(context, lua, servers)?;
            context.json()?.mark_array(&list)?;
            Ok(list)
        },
    )
}

fn list_of<'a>(
    context: &Context,
    lua: &Lua,
    servers: impl Iterator<Item = &'a Arc<ServerInfo>>,
) -> mlua::Result<Table> {
    let list = lua.create_table()?;
    for info in servers {
        list.raw_push(convert::server(context, lua, info)?)?;
    }
    Ok(list)
}

/// What a script cannot compute: the time, chance, and Pomelo's dispatch.
fn outside(registry: &Registry<'_>, app: &Class<'_>) -> mlua::Result<()> {
    let random: Function = registry.vm.lua().globals().get::<Table>("math")?.get("random")?;
    app.method(
        "random",
        move |_, _, (_, low, high): (Value, Option<f64>, Option<f64>)| random.call::<Value>((low, high)),
    )?;
    app.method("clock", |context, _, _: Value| {
        let vm = context
            .vm()
            .ok_or_else(|| mlua::Error::runtime("the scripts of this call have ended"))?;
        Ok(vm.world().time().as_secs_f64() * 1000.0)
    })?;
    app.method("dispatch", |_, _, (_, key, list): (Value, Value, Table)| {
        let key = convert::uid(&key)?;
        match hash::place(&key, list.raw_len()) {
            Some(place) => list.raw_get::<Value>(place + 1),
            None => Ok(Value::Nil),
        }
    })
}

/// `app:configure([env], [type], function)`: both selectors are lists like `production|development`; `all` matches.
fn configure(context: &Rc<Context>, lua: &Lua, args: MultiValue) -> mlua::Result<()> {
    let app: Table = lua.globals().get("app")?;
    let mut args: Vec<Value> = args.into_iter().skip(1).collect();
    let Some(Value::Function(function)) = args.pop() else {
        return Err(mlua::Error::runtime("app:configure([env], [type], function)"));
    };
    let selects = |selector: Option<&Value>, field: &str| -> mlua::Result<bool> {
        let own = convert::text(&app.raw_get::<LuaString>(field)?);
        Ok(match selector {
            None | Some(Value::Nil) => true,
            Some(Value::String(list)) => convert::text(list)
                .split('|')
                .map(str::trim)
                .any(|name| name == own || name == "all"),
            Some(_) => return Err(mlua::Error::runtime("app:configure: env and type are strings")),
        })
    };
    if selects(args.first(), "env")? && selects(args.get(1), "serverType")? {
        let _limit = context.impose_limit(lua);
        function.call::<()>(())?;
    }
    Ok(())
}
