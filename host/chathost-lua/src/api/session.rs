//! `session`: what a handler knows of the client whose message it answers.

use super::{Class, Context, Registry, convert};
use crate::{budget::Spend, memory};
use chathost_core::{
    error::CallError,
    handler::{Event, Listener},
    session::BackendSession,
};
use mlua::{BString, Lua, LuaString, MetaMethod, Table, UserData, UserDataFields, UserDataRef, Value};
use std::{rc::Rc, sync::Arc};

/// A session in a script's hands.
#[derive(Debug)]
pub(crate) struct SessionHandle(pub(crate) Rc<BackendSession>);

impl UserData for SessionHandle {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("id", |_, this| Ok(this.0.id()));
        fields.add_field_method_get("frontendId", |lua, this| {
            let _lifted = memory::lift(lua);
            lua.create_string(&**this.0.frontend_id())
        });
        fields.add_field_method_get("uid", |lua, this| {
            let _lifted = memory::lift(lua);
            this.0.uid().map(|uid| lua.create_string(&*uid)).transpose()
        });
        // Methods are a table of the VM, because some of them raise tables.
        fields.add_meta_field_with(MetaMethod::Index, |lua| {
            lua.named_registry_value::<Table>(METHODS)
        });
    }
}

/// What is in front of the colon.
type This = UserDataRef<SessionHandle>;

/// Where the VM keeps the methods of sessions.
const METHODS: &str = "chathost.session";

pub(super) fn register(registry: &Registry<'_>) -> mlua::Result<()> {
    let class = registry.class("Session")?;
    settings(&class)?;
    home(&class)?;
    class.method(
        "on",
        |context, lua, (this, event, listener): (This, LuaString, Value)| {
            let session = this.0.clone();
            if session.frontend_id() != context.app.id() {
                return Err(mlua::Error::runtime(format!(
                    "session:on works on the server the client is connected to, {}",
                    session.frontend_id()
                )));
            }
            context.make_room(lua)?;
            let (event, listener) = self::listener(context, lua, &event, listener)?;
            context
                .app
                .sessions
                .on_session(&context.app, &session, event, listener)
                .map_err(|error| convert::misuse(&error))
        },
    )?;
    registry.vm.lua().set_named_registry_value(METHODS, class.seal())
}

/// The copy.
fn settings(class: &Class<'_>) -> mlua::Result<()> {
    class.method("get", |context, lua, (this, key): (This, BString)| {
        let read = |key: &str| {
            this.0.with(key, |value| match value {
                Some(value) => convert::to_lua(context, lua, value),
                None => Ok(Value::Nil),
            })
        };
        convert::see_text(&key, read)
    })?;
    class.method("set", |context, lua, (this, key, value): (This, Value, Value)| {
        context.make_room(lua)?;
        let set = |key: &LuaString, value: &Value| {
            let value = convert::from_lua(context, value)?;
            this.0
                .set(&context.app, &convert::text(key), value)
                .map_err(|error| convert::misuse(&error))
        };
        match key {
            Value::String(key) => set(&key, &value),
            Value::Table(values) => values.pairs().try_for_each(|pair| {
                let (key, value) = pair?;
                set(&key, &value)
            }),
            _ => Err(mlua::Error::runtime(
                "session:set(key, value) or session:set { key = value, … }",
            )),
        }
    })?;
    class.method("remove", |context, _, (this, key): (This, LuaString)| {
        this.0
            .remove(&context.app, &convert::text(&key))
            .map_err(|error| convert::misuse(&error))
    })?;
    class.method("export", |context, lua, this: This| {
        let session = this.0.export();
        let exported = lua.create_table()?;
        exported.raw_set("id", session.id)?;
        exported.raw_set("frontendId", &*session.frontend_id)?;
        exported.raw_set("uid", session.uid.as_deref())?;
        exported.raw_set(
            "settings",
            convert::to_lua(context, lua, &session.settings.to_json())?,
        )?;
        Ok(exported)
    })
}

/// What goes through to the session on its frontend.
fn home(class: &Class<'_>) -> mlua::Result<()> {
    class.waiting(
        "push",
        |context, lua, (this, key): (This, LuaString)| async move {
            taken(&context, &lua, &this)?
                .push(&context.app, &convert::text(&key))
                .await
        },
    )?;
    class.waiting("pushAll", |context, lua, this: This| async move {
        taken(&context, &lua, &this)?.push_all(&context.app).await
    })?;
    class.waiting("bind", |context, lua, (this, uid): (This, Value)| async move {
        let uid = convert::uid(&uid).map_err(|error| convert::mistake(&error))?;
        taken(&context, &lua, &this)?.bind(&context.app, uid).await
    })?;
    class.waiting("unbind", |context, lua, (this, uid): (This, Value)| async move {
        let session = taken(&context, &lua, &this)?;
        let uid = match uid {
            Value::Nil => session
                .uid()
                .ok_or_else(|| CallError::failed("the session is not bound"))?,
            uid => convert::uid(&uid).map_err(|error| convert::mistake(&error))?,
        };
        session.unbind(&context.app, uid).await
    })
}

/// The session, for something that goes through to its frontend. Counted, wherever that is.
fn taken(context: &Context, lua: &Lua, handle: &This) -> Result<Rc<BackendSession>, CallError> {
    context
        .spend(lua, Spend::RpcCalls)
        .map_err(|error| convert::mistake(&error))?;
    Ok(handle.0.clone())
}

/// An event's name and who hears it: a function, or the name of one in the module that registers it.
pub(super) fn listener(
    context: &Rc<Context>,
    lua: &Lua,
    event: &LuaString,
    listener: Value,
) -> mlua::Result<(Event, Listener)> {
    let name = convert::text(event);
    let event = Event::from_name(&name)
        .ok_or_else(|| mlua::Error::runtime(format!("there is no event {name}: bind, unbind or closed")))?;
    let listener = match listener {
        Value::Function(function) => {
            // It keeps its generation for as long as the session lives; a name does not.
            let held = context.hold().map(Rc::new);
            Listener::Function(Rc::new(move |session, reason| {
                let (held, function, reason) = (held.clone(), function.clone(), reason.to_owned());
                Box::pin(async move {
                    if let Some(held) = held {
                        heard(&held.context, "a session listener", function, session, reason).await;
                    }
                })
            }))
        }
        Value::String(function) => Listener::Named {
            module: crate::error::Location::of_script(lua)
                .map(|at| module_of(&at.file))
                .unwrap_or_default(),
            function: convert::text(&function).into(),
        },
        _ => {
            return Err(mlua::Error::runtime(
                "a listener is a function, or the name of one that the file returns",
            ));
        }
    };
    Ok((event, listener))
}

/// Tells a listener.
pub(crate) async fn heard(
    context: &Rc<Context>,
    what: &str,
    function: mlua::Function,
    session: Rc<BackendSession>,
    reason: String,
) {
    let sid = session.id();
    let own = context.clone();
    let call = context.call::<Value, _>(function, move |vm| Ok((own.session(vm.lua(), session)?, reason)));
    if let Err(error) = call.await {
        context.log_error(what, Some(sid), &error);
    }
}

/// `handlers/connector.lua` is the module `connector`.
fn module_of(file: &str) -> Arc<str> {
    let name = file.strip_suffix(".lua").unwrap_or(file);
    name.split_once('/').map_or(name, |(_, below)| below).into()
}
