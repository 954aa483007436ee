//! `app.globalChannelService`: channels across servers.

use super::{Class, Context, Registry, convert};
use crate::budget::Spend;
use chathost_core::{
    channel::global,
    envelope::{GlobalOp, ServerId, Uid},
    error::CallError,
};
use mlua::{BString, Lua, LuaString, Table, Value};
use std::rc::Rc;

pub(super) fn register(registry: &Registry<'_>, app: &Class<'_>) -> mlua::Result<()> {
    let class = registry.class("GlobalChannelService")?;
    type One = (Value, Value, Value, LuaString);
    class.waiting("add", |context, lua, (_, name, uid, sid): One| async move {
        let op = GlobalOp::Add(mistaken(convert::uid(&uid))?);
        one(&context, &lua, &name, &sid, op).await.map(drop)
    })?;
    class.waiting("leave", |context, lua, (_, name, uid, sid): One| async move {
        let op = GlobalOp::Leave(mistaken(convert::uid(&uid))?);
        one(&context, &lua, &name, &sid, op).await.map(drop)
    })?;
    class.waiting(
        "getMembersBySid",
        |context, lua, (_, name, sid): (Value, Value, LuaString)| async move {
            let members = one(&context, &lua, &name, &sid, GlobalOp::Members).await?;
            list(&context, &lua, &members)
        },
    )?;
    class.waiting(
        "getMembersByChannelName",
        |context, lua, (_, server_type, name): (Value, LuaString, Value)| async move {
            let members = all(
                &context,
                &lua,
                &convert::text(&server_type),
                &name,
                &GlobalOp::Members,
            )
            .await?;
            list(&context, &lua, &members)
        },
    )?;
    type Push = (Value, LuaString, BString, Value, Value);
    class.waiting(
        "pushMessage",
        |context, lua, (_, server_type, route, msg, name): Push| async move {
            mistaken(context.spend(&lua, Spend::Pushes))?;
            let message = mistaken(convert::push_message(&context, Some(&route), &msg))?;
            let op = GlobalOp::Push(message);
            let unreached = all(&context, &lua, &convert::text(&server_type), &name, &op).await?;
            list(&context, &lua, &unreached)
        },
    )?;
    class.waiting(
        "destroyChannel",
        |context, lua, (_, name): (Value, Value)| async move {
            let types: Vec<_> = context.app.cluster.types().cloned().collect();
            for server_type in types {
                all(&context, &lua, &server_type, &name, &GlobalOp::Destroy).await?;
            }
            Ok(())
        },
    )?;
    app.field("globalChannelService", class.seal())
}

async fn one(
    context: &Rc<Context>,
    lua: &Lua,
    name: &Value,
    sid: &LuaString,
    op: GlobalOp,
) -> Result<Vec<Uid>, CallError> {
    mistaken(context.spend(lua, Spend::RpcCalls))?;
    let (name, sid): (Uid, ServerId) = (mistaken(convert::uid(name))?, convert::text(sid).into());
    global::ask_one(&context.app, &sid, &name, op).await
}

async fn all(
    context: &Rc<Context>,
    lua: &Lua,
    server_type: &str,
    name: &Value,
    op: &GlobalOp,
) -> Result<Vec<Uid>, CallError> {
    mistaken(context.spend(lua, Spend::RpcCalls))?;
    global::ask_all(&context.app, server_type, &mistaken(convert::uid(name))?, op).await
}

fn list(context: &Context, lua: &Lua, uids: &[Uid]) -> Result<Table, CallError> {
    let list = || {
        let list = lua.create_sequence_from(uids.iter().map(|uid| &**uid))?;
        context.json()?.mark_array(&list)?;
        Ok(list)
    };
    mistaken(list())
}

fn mistaken<T>(result: mlua::Result<T>) -> Result<T, CallError> {
    result.map_err(|error| convert::mistake(&error))
}
