//! `app.sessionService`: the sessions of this frontend. On a backend there are none.

use super::{Class, Context, Registry, convert, session};
use chathost_core::session::{BackendSession, Session};
use mlua::{Function, Lua, LuaString, Table, Value};
use std::rc::Rc;

pub(super) fn register(registry: &Registry<'_>, app: &Class<'_>) -> mlua::Result<()> {
    let class = registry.class("SessionService")?;
    find(&class)?;
    change(&class)?;
    each(&class)?;
    class.method(
        "on",
        |context, lua, (_, event, listener): (Value, LuaString, Value)| {
            context.make_room(lua)?;
            let (event, listener) = session::listener(context, lua, &event, listener)?;
            context
                .app
                .sessions
                .on(&context.app, event, listener)
                .map_err(|error| convert::misuse(&error))
        },
    )?;
    app.field("sessionService", class.seal())
}

fn find(class: &Class<'_>) -> mlua::Result<()> {
    class.method("get", |context, lua, (_, sid): (Value, u64)| {
        match context.app.sessions.get(sid) {
            Some(session) => view(context, lua, &session),
            None => Ok(Value::Nil),
        }
    })?;
    class.method("getByUid", |context, lua, (_, uid): (Value, Value)| {
        let sessions = context.app.sessions.by_uid(&convert::uid(&uid)?);
        if sessions.is_empty() {
            return Ok(None);
        }
        let views = sessions.iter().map(|session| view(context, lua, session));
        lua.create_sequence_from(views.collect::<mlua::Result<Vec<_>>>()?)
            .map(Some)
    })?;
    class.method(
        "getClientAddressBySessionId",
        |context, lua, (_, sid): (Value, u64)| {
            let Some(address) = context.app.sessions.client_address(sid) else {
                return Ok(None);
            };
            let table = lua.create_table()?;
            table.raw_set("ip", address.ip().to_canonical().to_string())?;
            table.raw_set("port", address.port())?;
            Ok(Some(table))
        },
    )?;
    class.method("getSessionsCount", |context, _, _: Value| {
        Ok(context.app.sessions.count())
    })?;
    class.method("getUidsCount", |context, _, _: Value| {
        Ok(context.app.sessions.uid_count())
    })
}

fn change(class: &Class<'_>) -> mlua::Result<()> {
    class.raising("bind", |context, _, (_, sid, uid): (Value, u64, Value)| {
        let uid = convert::uid(&uid).map_err(|error| convert::mistake(&error))?;
        context.app.sessions.bind(&context.app, sid, &uid)
    })?;
    class.raising("unbind", |context, _, (_, sid, uid): (Value, u64, Value)| {
        let uid = convert::uid(&uid).map_err(|error| convert::mistake(&error))?;
        context.app.sessions.unbind(&context.app, sid, &uid)
    })?;
    class.raising(
        "import",
        |context, lua, (_, sid, key, value): (Value, u64, LuaString, Value)| {
            let value = context
                .make_room(lua)
                .and_then(|()| convert::from_lua(context, &value))
                .map_err(|error| convert::mistake(&error))?;
            context.app.sessions.import(sid, &convert::text(&key), value)
        },
    )?;
    class.raising(
        "importAll",
        |context, lua, (_, sid, values): (Value, u64, Table)| {
            let values = context
                .make_room(lua)
                .and_then(|()| convert::settings(context, &values))
                .map_err(|error| convert::mistake(&error))?;
            context.app.sessions.import_all(sid, &values)
        },
    )?;
    class.method(
        "kick",
        |context, _, (_, uid, reason): (Value, Value, Option<LuaString>)| {
            let reason = reason.as_ref().map(convert::text);
            context
                .app
                .sessions
                .kick(&context.app, &convert::uid(&uid)?, reason.as_deref());
            Ok(())
        },
    )?;
    class.method(
        "kickBySessionId",
        |context, _, (_, sid, reason): (Value, u64, Option<LuaString>)| {
            let reason = reason.as_ref().map(convert::text);
            context
                .app
                .sessions
                .kick_by_session_id(&context.app, sid, reason.as_deref());
            Ok(())
        },
    )
}

/// The sessions are those of the moment of the call; the function may change them.
fn each(class: &Class<'_>) -> mlua::Result<()> {
    class.method(
        "forEachSession",
        |context, lua, (_, function): (Value, Function)| {
            visit(context, lua, &context.app.sessions.all(), &function)
        },
    )?;
    class.method(
        "forEachBindedSession",
        |context, lua, (_, function): (Value, Function)| {
            visit(context, lua, &context.app.sessions.all_binded(), &function)
        },
    )
}

fn visit(context: &Context, lua: &Lua, sessions: &[Rc<Session>], function: &Function) -> mlua::Result<()> {
    for session in sessions {
        let view = view(context, lua, session)?;
        let _limit = context.impose_limit(lua);
        function.call::<()>(view)?;
    }
    Ok(())
}

fn view(context: &Context, lua: &Lua, session: &Session) -> mlua::Result<Value> {
    context.session(lua, BackendSession::new(&session.snapshot(context.app.id())))
}
