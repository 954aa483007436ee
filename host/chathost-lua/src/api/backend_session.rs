//! `app.backendSessionService`: sessions of any frontend, asked from any server.

use super::{Class, Context, Registry, convert};
use crate::budget::Spend;
use chathost_core::{
    envelope::{ServerId, SessionOp, SessionTarget},
    error::CallError,
    session::{BackendSession, Snapshot, backend_service},
};
use mlua::{Lua, LuaString, Table, Value};
use std::{rc::Rc, sync::Arc};

pub(super) fn register(registry: &Registry<'_>, app: &Class<'_>) -> mlua::Result<()> {
    let class = registry.class("BackendSessionService")?;
    class.waiting(
        "get",
        |context, lua, (_, frontend, sid): (Value, LuaString, u64)| async move {
            let found = ask(&context, &lua, &frontend, SessionTarget::Sid(sid), SessionOp::Get).await?;
            found
                .first()
                .map(|snapshot| view(&context, &lua, snapshot))
                .transpose()
        },
    )?;
    class.waiting(
        "getByUid",
        |context, lua, (_, frontend, uid): (Value, LuaString, Value)| async move {
            let target = SessionTarget::Uid(convert::uid(&uid).map_err(|error| convert::mistake(&error))?);
            let found = ask(&context, &lua, &frontend, target, SessionOp::Get).await?;
            if found.is_empty() {
                return Ok(None);
            }
            let views: Result<Vec<_>, _> = found
                .iter()
                .map(|snapshot| view(&context, &lua, snapshot))
                .collect();
            lua.create_sequence_from(views?)
                .map(Some)
                .map_err(|error| convert::mistake(&error))
        },
    )?;
    kick(&class)?;
    change(&class)?;
    let service = class.seal();
    app.field("localSessionService", &service)?;
    app.field("backendSessionService", service)
}

fn kick(class: &Class<'_>) -> mlua::Result<()> {
    type Args<T> = (Value, LuaString, T, Option<LuaString>);
    class.waiting(
        "kickBySid",
        |context, lua, (_, frontend, sid, reason): Args<u64>| async move {
            let op = SessionOp::Kick(reason.as_ref().map(convert::text));
            ask(&context, &lua, &frontend, SessionTarget::Sid(sid), op)
                .await
                .map(drop)
        },
    )?;
    class.waiting(
        "kickByUid",
        |context, lua, (_, frontend, uid, reason): Args<Value>| async move {
            let target = SessionTarget::Uid(convert::uid(&uid).map_err(|error| convert::mistake(&error))?);
            ask(
                &context,
                &lua,
                &frontend,
                target,
                SessionOp::Kick(reason.as_ref().map(convert::text)),
            )
            .await
            .map(drop)
        },
    )
}

fn change(class: &Class<'_>) -> mlua::Result<()> {
    class.waiting(
        "bind",
        |context, lua, (_, frontend, sid, uid): (Value, LuaString, u64, Value)| async move {
            let op = SessionOp::Bind(convert::uid(&uid).map_err(|error| convert::mistake(&error))?);
            ask(&context, &lua, &frontend, SessionTarget::Sid(sid), op)
                .await
                .map(drop)
        },
    )?;
    class.waiting(
        "unbind",
        |context, lua, (_, frontend, sid, uid): (Value, LuaString, u64, Value)| async move {
            let op = SessionOp::Unbind(convert::uid(&uid).map_err(|error| convert::mistake(&error))?);
            ask(&context, &lua, &frontend, SessionTarget::Sid(sid), op)
                .await
                .map(drop)
        },
    )?;
    type One = (Value, LuaString, u64, LuaString, Value);
    class.waiting(
        "push",
        |context, lua, (_, frontend, sid, key, value): One| async move {
            let value = convert::from_lua(&context, &value).map_err(|error| convert::mistake(&error))?;
            let op = SessionOp::Push(convert::text(&key), value);
            ask(&context, &lua, &frontend, SessionTarget::Sid(sid), op)
                .await
                .map(drop)
        },
    )?;
    class.waiting(
        "pushAll",
        |context, lua, (_, frontend, sid, values): (Value, LuaString, u64, Table)| async move {
            let values = convert::settings(&context, &values).map_err(|error| convert::mistake(&error))?;
            let op = SessionOp::PushAll(Arc::new(values));
            ask(&context, &lua, &frontend, SessionTarget::Sid(sid), op)
                .await
                .map(drop)
        },
    )
}

async fn ask(
    context: &Rc<Context>,
    lua: &Lua,
    frontend: &LuaString,
    target: SessionTarget,
    op: SessionOp,
) -> Result<Vec<Arc<Snapshot>>, CallError> {
    context
        .spend(lua, Spend::RpcCalls)
        .map_err(|error| convert::mistake(&error))?;
    let frontend: ServerId = convert::text(frontend).into();
    backend_service::ask(&context.app, &frontend, target, op).await
}

fn view(context: &Rc<Context>, lua: &Lua, snapshot: &Snapshot) -> Result<Value, CallError> {
    context
        .session(lua, BackendSession::new(snapshot))
        .map_err(|error| convert::mistake(&error))
}
