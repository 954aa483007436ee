//! Between the engine's values and a script's.

use super::{Context, SessionHandle};
use crate::error::HOST_ERROR;
use chathost_core::{
    channel::Member,
    config::ServerInfo,
    envelope::{PushMessage, ServerId, Uid},
    error::CallError,
    rpc::RouteParam,
    session::Settings,
};
use mlua::{AnyUserData, BString, Lua, LuaString, Table, Value};
use std::sync::Arc;

/// `{ code, message }`, marked: not caught, it is not what the handler meant to tell a client.
pub(super) fn error_table(lua: &Lua, error: &CallError) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("code", error.code)?;
    table.raw_set("message", error.message.as_str())?;
    let mark = match lua.named_registry_value::<Option<Table>>(HOST_ERROR)? {
        Some(mark) => mark,
        None => {
            let mark = lua.create_table()?;
            mark.raw_set(HOST_ERROR, true)?;
            mark.raw_set("__metatable", false)?;
            mark.set_readonly(true);
            lua.set_named_registry_value(HOST_ERROR, &mark)?;
            mark
        }
    };
    table.set_metatable(Some(mark))?;
    Ok(table)
}

/// An engine's error as misuse.
pub(super) fn misuse(error: &CallError) -> mlua::Error {
    mlua::Error::runtime(&error.message)
}

/// A script's mistake, as the engine reports them.
pub(super) fn mistake(error: &mlua::Error) -> CallError {
    CallError::failed(crate::error::innermost(error))
}

/// Bytes of a user's id or a channel's name. The host keeps them, and the VM's limit does not count them.
const MAX_UID: usize = 4096;

/// A user's id: text, or a number that becomes its decimal text.
pub(super) fn uid(value: &Value) -> mlua::Result<Uid> {
    with_uid(value, |uid| uid.into())
}

/// The same, for whoever only looks at it.
pub(super) fn with_uid<R>(value: &Value, see: impl FnOnce(&str) -> R) -> mlua::Result<R> {
    match value {
        Value::String(text) => match text.as_bytes() {
            text if text.len() > MAX_UID => Err(mlua::Error::runtime(format!(
                "a uid or a name has {MAX_UID} bytes at most"
            ))),
            text => Ok(see_text(&text, see)),
        },
        Value::Integer(number) => Ok(see(&number.to_string())),
        Value::Number(number) => Ok(see(&number.to_string())),
        other => Err(mlua::Error::runtime(format!(
            "a uid is a string or a number, not {}",
            other.type_name()
        ))),
    }
}

/// Text that must be valid to leave the VM; what is not becomes U+FFFD.
pub(super) fn text(value: &LuaString) -> String {
    value.to_string_lossy()
}

/// The same, for whoever only looks at it, or makes something else of it.
pub(super) fn with_text<R>(value: &LuaString, see: impl FnOnce(&str) -> R) -> R {
    see_text(&value.as_bytes(), see)
}

/// The same for bytes that a script gave.
pub(super) fn see_text<R>(bytes: &[u8], see: impl FnOnce(&str) -> R) -> R {
    match std::str::from_utf8(bytes) {
        Ok(text) => see(text),
        Err(_) => see(&String::from_utf8_lossy(bytes)),
    }
}

/// A JSON value for a script. Scalars, which settings mostly are, take the short way.
pub(super) fn to_lua(context: &Context, lua: &Lua, value: &serde_json::Value) -> mlua::Result<Value> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Boolean(*value),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        Json::Array(_) | Json::Object(_) => {
            let text = serde_json::to_vec(value).map_err(mlua::Error::external)?;
            context.json()?.read(lua, &text).map_err(mlua::Error::external)?
        }
    })
}

/// A script's value as JSON, to be kept by the host.
pub(super) fn from_lua(context: &Context, value: &Value) -> mlua::Result<serde_json::Value> {
    use serde_json::Value as Json;
    Ok(match value {
        Value::Nil => Json::Null,
        Value::Boolean(value) => Json::Bool(*value),
        // As long as JSON may be, which `encode` checks for all else.
        Value::String(text) if text.as_bytes().len() > context.app.settings.script.response_bytes => {
            let limit = context.app.settings.script.response_bytes;
            return Err(mlua::Error::runtime(format!("a text of more than {limit} bytes")));
        }
        Value::String(text) => Json::String(text.to_string_lossy()),
        other => {
            let text = encode(context, other)?;
            serde_json::from_slice(&text).map_err(mlua::Error::external)?
        }
    })
}

/// A script's value as JSON text.
pub(super) fn encode(context: &Context, value: &Value) -> mlua::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(128);
    context
        .json()?
        .write(value, &mut text)
        .map_err(mlua::Error::runtime)?;
    Ok(text)
}

/// What is pushed: `(route, msg)`, or `msg` alone with its route inside.
pub(super) fn push_message(
    context: &Context,
    route: Option<&BString>,
    msg: &Value,
) -> mlua::Result<PushMessage> {
    let route: Arc<str> = match (route, msg) {
        (Some(route), _) => see_text(route, |route| route.into()),
        (None, Value::Table(table)) => match table.raw_get::<Value>("route")? {
            Value::String(route) => with_text(&route, |route| route.into()),
            _ => {
                return Err(mlua::Error::runtime(
                    "a message without a route: pushMessage(route, msg), or msg.route",
                ));
            }
        },
        (None, Value::Nil) => {
            return Err(mlua::Error::runtime("nothing to push: pushMessage(route, msg)"));
        }
        _ => {
            return Err(mlua::Error::runtime(
                "a message is a table, or comes after its route",
            ));
        }
    };
    if route.is_empty() || route.len() > 255 {
        return Err(mlua::Error::runtime("a route has 1 to 255 bytes"));
    }
    let body = match msg {
        Value::Nil => return Err(mlua::Error::runtime("data should not be empty")),
        msg => encode(context, msg)?,
    };
    Ok(PushMessage {
        route,
        body: body.into(),
    })
}

/// `{ { uid = …, sid = … }, … }`. An entry without a sid cannot be reached and is returned apart.
pub(super) fn members(context: &Context, list: &Table) -> mlua::Result<(Vec<Member>, Vec<Uid>)> {
    let (mut members, mut nowhere) = (Vec::new(), Vec::new());
    for entry in list.sequence_values::<Table>() {
        let entry = entry?;
        let uid = uid(&entry.raw_get("uid")?)?;
        match entry.raw_get::<Value>("sid")? {
            Value::String(sid) => members.push(Member {
                uid,
                sid: server_id(context, &sid),
            }),
            _ => nowhere.push(uid),
        }
    }
    Ok((members, nowhere))
}

/// The id of a server of the cluster, shared with its entry, or whatever the script says.
pub(super) fn server_id(context: &Context, sid: &LuaString) -> ServerId {
    with_text(sid, |sid| match context.app.cluster.server(sid) {
        Some(server) => server.id.clone(),
        None => sid.into(),
    })
}

/// A list of uids.
pub(super) fn uids(list: &Table) -> mlua::Result<Vec<Uid>> {
    list.sequence_values::<Value>()
        .map(|value| uid(&value?))
        .collect()
}

/// What a call is routed by: a session, or any value.
pub(super) fn route_param(context: &Context, value: &Value) -> mlua::Result<RouteParam> {
    if let Value::UserData(handle) = value {
        return Ok(RouteParam::Session(session(handle)?.0.clone()));
    }
    Ok(RouteParam::Value(from_lua(context, value)?))
}

pub(super) fn session(handle: &AnyUserData) -> mlua::Result<mlua::UserDataRef<SessionHandle>> {
    handle.borrow::<SessionHandle>()
}

/// A server as `servers.json` describes it, extra fields included.
pub(super) fn server(context: &Context, lua: &Lua, info: &ServerInfo) -> mlua::Result<Value> {
    to_lua(context, lua, &serde_json::Value::Object(info.fields.clone()))
}

/// A table of settings: `{ key = value, … }`.
pub(super) fn settings(context: &Context, values: &Table) -> mlua::Result<Settings> {
    let mut settings = Settings::new();
    for pair in values.pairs::<LuaString, Value>() {
        let (key, value) = pair?;
        settings.insert(&text(&key), from_lua(context, &value)?);
    }
    Ok(settings)
}
