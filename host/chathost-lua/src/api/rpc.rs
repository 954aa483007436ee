//! `app.rpc` and `app:route`: calls of other servers' remotes, and which server gets them.

use super::{Class, Context, Registry, convert};
use crate::budget::Spend;
use bytes::Bytes;
use chathost_core::{
    envelope::ServerId,
    error::CallError,
    rpc::{self, RouteParam},
};
use futures_util::future::try_join_all;
use mlua::{Function, IntoLuaMulti, Lua, LuaString, MultiValue, Table, Value, Variadic};
use std::{rc::Rc, sync::Arc};

pub(super) fn register(registry: &Registry<'_>, app: &Class<'_>) -> mlua::Result<()> {
    type Call = (LuaString, LuaString, Value, Variadic<Value>);
    let call = app.waiting_function(
        |context, lua, (server_type, method, param, args): Call| async move {
            let to = pick(&context, &server_type, &param)?;
            one(&context, &lua, &to, &server_type, &convert::text(&method), &args).await
        },
    )?;
    let notify = app.waiting_function(
        |context, lua, (server_type, method, param, args): Call| async move {
            let to = pick(&context, &server_type, &param)?;
            let (method, args) = (convert::text(&method), arguments(&context, &lua, &args)?);
            let to = filtered(&context, &lua, &to, &server_type, &method).await?;
            rpc::notify(&context.app, &to, method.into(), args)
        },
    )?;
    let to_server = app.waiting_function(
        |context,
         lua,
         (server_type, id, method, args): (LuaString, LuaString, LuaString, Variadic<Value>)| async move {
            let (id, method) = (convert::text(&id), convert::text(&method));
            if id == "*" {
                let server_type = convert::text(&server_type);
                return Box::pin(all(&context, &lua, &server_type, &method, &args)).await;
            }
            one(&context, &lua, &id.into(), &server_type, &method, &args).await
        },
    )?;
    let proxies: Table = registry
        .luau
        .get::<Function>("proxies")?
        .call((call, notify, to_server))?;
    app.field("rpc", proxies)?;

    app.waiting(
        "rpcInvoke",
        |context, lua, (_, id, msg): (Value, LuaString, Table)| async move {
            let field = |name: &str| {
                msg.raw_get::<LuaString>(name)
                    .map_err(|error| convert::mistake(&error))
            };
            let method = format!(
                "{}.{}",
                convert::text(&field("service")?),
                convert::text(&field("method")?)
            );
            let args: Option<Vec<Value>> = msg.raw_get("args").map_err(|error| convert::mistake(&error))?;
            let to: ServerId = convert::text(&id).into();
            one(
                &context,
                &lua,
                &to,
                &field("serverType")?,
                &method,
                &args.unwrap_or_default(),
            )
            .await
        },
    )?;
    app.method(
        "route",
        |context, _, (_, server_type, rule): (Value, LuaString, Value)| {
            let server_type = convert::text(&server_type);
            match rule {
                // Nobody is ever sent there, and names are without number.
                Value::String(_) | Value::Function(_)
                    if context.app.cluster.servers_of(&server_type).len() == 0 => {}
                Value::String(_) => {
                    let key = convert::uid(&rule)?;
                    context
                        .app
                        .install(move |app| app.router.set_setting(&server_type, &key));
                }
                Value::Function(function) => route_by(context, &server_type, function),
                _ => {
                    return Err(mlua::Error::runtime(
                        "app:route(type, function) or app:route(type, \"a session setting\")",
                    ));
                }
            }
            Ok(())
        },
    )
}

/// The function runs within the call that asks, or as a call of its own when a client's message asks.
fn route_by(context: &Rc<Context>, server_type: &str, function: Function) {
    let weak = Rc::downgrade(context);
    let what = format!("app:route(\"{server_type}\")");
    let choose = move |param: &RouteParam| -> Result<ServerId, CallError> {
        let ended = || CallError::no_target(format!("{what}: its scripts have ended"));
        let context = weak.upgrade().ok_or_else(ended)?;
        let vm = context.vm().ok_or_else(ended)?;
        let call = crate::budget::Budget::call(vm.limits().call);
        let _entered = vm.budget().enter(&call);
        let param = match param {
            RouteParam::Session(session) => context.session(vm.lua(), session.clone()),
            RouteParam::Value(value) => convert::to_lua(&context, vm.lua(), value),
        }
        .map_err(|error| convert::mistake(&error))?;
        match vm.run::<Value>(&function, param) {
            Ok(Value::String(id)) => Ok(convert::text(&id).into()),
            Ok(other) => Err(CallError::failed(format!(
                "{what} returned a {} and no server's id",
                other.type_name()
            ))),
            Err(error) => {
                context.log_error(&what, None, &error);
                Err(CallError::failed(format!("{what} failed")))
            }
        }
    };
    let server_type = server_type.to_owned();
    context
        .app
        .install(move |app| app.router.set_function(&server_type, Rc::new(choose)));
}

fn pick(context: &Context, server_type: &LuaString, param: &Value) -> Result<ServerId, CallError> {
    let param = convert::route_param(context, param).map_err(|error| convert::mistake(&error))?;
    context
        .app
        .router
        .pick(&context.app, &convert::text(server_type), &param)
}

async fn one(
    context: &Rc<Context>,
    lua: &Lua,
    to: &ServerId,
    server_type: &LuaString,
    method: &str,
    args: &[Value],
) -> Result<MultiValue, CallError> {
    let args = arguments(context, lua, args)?;
    let to = filtered(context, lua, to, server_type, method).await?;
    let results = rpc::call(&context.app, &to, method.into(), args).await;
    if !context.filters.borrow().rpc_after.is_empty() {
        Box::pin(context.rpc_after(lua, &to, server_type, method)).await;
    }
    list(context, lua, &results?)
}

/// Every server of the type, at the same time. What they returned, by server id; the first error wins.
async fn all(
    context: &Rc<Context>,
    lua: &Lua,
    server_type: &str,
    method: &str,
    args: &[Value],
) -> Result<MultiValue, CallError> {
    let args = arguments(context, lua, args)?;
    let method: Arc<str> = method.into();
    let calls =
        context
            .app
            .cluster
            .servers_of(server_type)
            .filter(|server| server.port.is_some())
            .map(|server| {
                let (app, method, args) = (&context.app, method.clone(), args.clone());
                async move {
                    Ok::<_, CallError>((server.id.clone(), rpc::call(app, &server.id, method, args).await?))
                }
            });
    let answers = try_join_all(calls).await?;
    let table = || -> mlua::Result<MultiValue> {
        let table = lua.create_table()?;
        for (id, results) in answers {
            let results = context
                .json()?
                .read(lua, &results)
                .map_err(mlua::Error::external)?;
            table.raw_set(&*id, results)?;
        }
        table.into_lua_multi(lua)
    };
    table().map_err(|error| convert::mistake(&error))
}

async fn filtered(
    context: &Rc<Context>,
    lua: &Lua,
    to: &ServerId,
    server_type: &LuaString,
    method: &str,
) -> Result<ServerId, CallError> {
    if context.filters.borrow().rpc_before.is_empty() {
        return Ok(to.clone());
    }
    // In a box, or every call would have room for it: a call that waits is what a joining user costs.
    Box::pin(context.rpc_before(lua, to, server_type, method)).await
}

/// What travels. Counted: this is a call of another server.
fn arguments(context: &Context, lua: &Lua, args: &[Value]) -> Result<Bytes, CallError> {
    context
        .spend(lua, Spend::RpcCalls)
        .map_err(|error| convert::mistake(&error))?;
    let mut text = Vec::with_capacity(128);
    let json = context.json().map_err(|error| convert::mistake(&error))?;
    json.write_list(args, &mut text)
        .map_err(|error| CallError::failed(format!("an argument cannot be sent: {error}")))?;
    Ok(text.into())
}

fn list(context: &Context, lua: &Lua, results: &[u8]) -> Result<MultiValue, CallError> {
    let json = context.json().map_err(|error| convert::mistake(&error))?;
    json.read_list(lua, results)
        .map_err(|error| CallError::failed(format!("a result cannot be read: {error}")))
}
