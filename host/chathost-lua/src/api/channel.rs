//! `app.channelService` and the channels it hands out.

use super::{
    Class, Context, Registry, convert,
    handles::{ChannelHandle, Handles},
    lists::Lists,
};
use crate::{budget::Spend, memory};
use chathost_core::{
    channel::{Channel, Member, PushOptions},
    envelope::{PushMessage, Uid},
};
use mlua::{
    BString, Function, Lua, LuaString, MetaMethod, Table, UserData, UserDataFields, UserDataRef, Value,
};
use std::rc::Rc;

impl UserData for ChannelHandle {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("name", |lua, this| {
            let _lifted = memory::lift(lua);
            lua.create_string(this.0.name())
        });
        fields.add_meta_field_with(MetaMethod::Index, |lua| {
            lua.named_registry_value::<Table>(METHODS)
        });
    }
}

/// What is in front of the colon.
type This = UserDataRef<ChannelHandle>;

/// Where the VM keeps the methods of channels.
const METHODS: &str = "chathost.channel";

pub(super) fn register(registry: &Registry<'_>, app: &Class<'_>) -> mlua::Result<()> {
    let class = registry.class("Channel")?;
    members(&class)?;
    values(&class)?;
    push(registry, &class)?;
    registry
        .vm
        .lua()
        .set_named_registry_value(METHODS, class.seal())?;

    let class = registry.class("ChannelService")?;
    service(&class)?;
    push_by_uids(registry, &class)?;
    app.field("channelService", class.seal())
}

fn members(class: &Class<'_>) -> mlua::Result<()> {
    class.method(
        "add",
        |context, lua, (this, uid, sid): (This, Value, Option<LuaString>)| {
            // Without a frontend nobody can be reached; Pomelo says false.
            let Some(sid) = sid else { return Ok(false) };
            let (uid, sid) = (convert::uid(&uid)?, convert::server_id(context, &sid));
            context.make_room(lua)?;
            let added = context.app.channels.add(&this.0, uid, sid);
            added.map_err(|error| convert::misuse(&error))
        },
    )?;
    class.method(
        "leave",
        |context, _, (this, uid, sid): (This, Value, Option<LuaString>)| {
            let Some(sid) = sid else { return Ok(false) };
            let uid = convert::uid(&uid)?;
            Ok(context.app.channels.leave(&this.0, &uid, &convert::text(&sid)))
        },
    )?;
    let lists = Lists::new(class)?;
    class.method("getMembers", move |context, lua, this: This| {
        lists.of(context, lua, &this.0)
    })?;
    class.method("getMember", |_, lua, (this, uid): (This, Value)| {
        let Some(Member { uid, sid }) = convert::with_uid(&uid, |uid| this.0.member(uid))? else {
            return Ok(None);
        };
        lua.create_table_from([("uid", &*uid), ("sid", &*sid)]).map(Some)
    })?;
    class.method("getUserAmount", |_, _, this: This| Ok(this.0.user_amount()))?;
    class.method("destroy", |context, _, this: This| {
        context.app.channels.destroy(&this.0);
        Ok(())
    })
}

fn values(class: &Class<'_>) -> mlua::Result<()> {
    class.method(
        "set",
        |context, lua, (this, key, value): (This, LuaString, Value)| {
            context.make_room(lua)?;
            this.0
                .set(&convert::text(&key), convert::from_lua(context, &value)?)
                .map_err(|error| convert::misuse(&error))
        },
    )?;
    class.method("get", |context, lua, (this, key): (This, LuaString)| {
        match this.0.get(&convert::text(&key)) {
            Some(value) => convert::to_lua(context, lua, &value),
            None => Ok(Value::Nil),
        }
    })
}

/// What `api.luau` makes of `(route, msg, options)` and `(msg, options)`.
type PushArgs = (This, Option<BString>, Value, Value);

fn push(registry: &Registry<'_>, class: &Class<'_>) -> mlua::Result<()> {
    let (context, budget) = class.captured();
    let push = registry
        .vm
        .lua()
        .create_function(move |lua, (this, route, msg, options): PushArgs| {
            memory::lifted(lua, &budget, || {
                context.spend(lua, Spend::Pushes)?;
                let message = convert::push_message(&context, route.as_ref(), &msg)?;
                let options = self::options(&options)?;
                let channels = &context.app.channels;
                let unreached = channels.push_message(&context.app, &this.0, &message, &options);
                let unreached = unreached.map_err(|error| convert::misuse(&error))?;
                names(&context, lua, &unreached)
            })
        })?;
    let wait = class.waiting_function(|context, lua, (this, route, msg, options): PushArgs| {
        let prepared = context.spend(&lua, Spend::Pushes).and_then(|()| {
            let message = convert::push_message(&context, route.as_ref(), &msg)?;
            Ok((message, self::options(&options)?))
        });
        async move {
            let (message, options) = prepared.map_err(|error| convert::mistake(&error))?;
            let channels = &context.app.channels;
            let unreached = channels
                .push_message_acknowledged(&context.app, &this.0, &message, &options)
                .await?;
            names(&context, &lua, &unreached).map_err(|error| convert::mistake(&error))
        }
    })?;
    let push = acknowledged(registry, "pushMessage", push, wait)?;
    class.field("pushMessage", push)
}

/// What `api.luau` makes of `(route, msg, users, options)` and `(msg, users, options)`.
type UsersArgs = (Value, Option<BString>, Value, Value, Value);

fn push_by_uids(registry: &Registry<'_>, class: &Class<'_>) -> mlua::Result<()> {
    let (context, budget) = class.captured();
    let push = registry.vm.lua().create_function(move |lua, args: UsersArgs| {
        memory::lifted(lua, &budget, || {
            context.spend(lua, Spend::Pushes)?;
            let (message, users, mut unreached, options) = users_args(&context, &args)?;
            let channels = &context.app.channels;
            let found = channels.push_message_by_uids(&context.app, users, &message, &options);
            unreached.extend(found.map_err(|error| convert::misuse(&error))?);
            names(&context, lua, &unreached)
        })
    })?;
    let wait = class.waiting_function(|context, lua, args: UsersArgs| {
        let prepared = context
            .spend(&lua, Spend::Pushes)
            .and_then(|()| users_args(&context, &args));
        async move {
            let (message, users, mut unreached, options) =
                prepared.map_err(|error| convert::mistake(&error))?;
            let channels = &context.app.channels;
            unreached.extend(
                channels
                    .push_message_by_uids_acknowledged(&context.app, users, &message, &options)
                    .await?,
            );
            names(&context, &lua, &unreached).map_err(|error| convert::mistake(&error))
        }
    })?;
    let push = acknowledged(registry, "pushMessageByUids", push, wait)?;
    class.field("pushMessageByUids", push)
}

fn acknowledged(
    registry: &Registry<'_>,
    name: &str,
    push: Function,
    wait: Function,
) -> mlua::Result<Function> {
    registry.luau.get::<Function>(name)?.call((push, wait))
}

fn service(class: &Class<'_>) -> mlua::Result<()> {
    let handles = Rc::new(Handles::new(class.lua())?);
    let own = handles.clone();
    class.method("createChannel", move |context, lua, (_, name): (Value, Value)| {
        own.of(lua, create(context, lua, &name)?)
    })?;
    class.method(
        "getChannel",
        move |context, lua, (_, name, create): (Value, Value, Option<bool>)| {
            // A session without a room has no name to give: then there is no channel.
            if name.is_nil() && !create.unwrap_or_default() {
                return Ok(None);
            }
            if create.unwrap_or_default() {
                return handles.of(lua, self::create(context, lua, &name)?).map(Some);
            }
            let found = with_name(&name, |name| context.app.channels.channel(name))?;
            found.map(|channel| handles.of(lua, channel)).transpose()
        },
    )?;
    class.method("destroyChannel", |context, _, (_, name): (Value, Value)| {
        with_name(&name, |name| context.app.channels.destroy_channel(name))
    })?;
    class.raising(
        "broadcast",
        |context, lua, args: (Value, LuaString, BString, Value, Option<Table>)| {
            let (_, server_type, route, msg, options) = args;
            let broadcast = || -> mlua::Result<_> {
                let binded = match options {
                    Some(options) => options.raw_get::<Option<bool>>("binded")?.unwrap_or_default(),
                    None => false,
                };
                context.spend(lua, Spend::Pushes)?;
                Ok((convert::push_message(context, Some(&route), &msg)?, binded))
            };
            let (message, binded) = broadcast().map_err(|error| convert::mistake(&error))?;
            context
                .app
                .channels
                .broadcast(&context.app, &convert::text(&server_type), &message, binded)
        },
    )
}

fn create(context: &Context, lua: &Lua, name: &Value) -> mlua::Result<Rc<Channel>> {
    context.make_room(lua)?;
    with_name(name, |name| context.app.channels.create_channel(name))?
        .map_err(|error| convert::misuse(&error))
}

type Users = (PushMessage, Vec<Member>, Vec<Uid>, PushOptions);

fn users_args(context: &Context, (_, route, msg, users, options): &UsersArgs) -> mlua::Result<Users> {
    let message = convert::push_message(context, route.as_ref(), msg)?;
    let Value::Table(users) = users else {
        return Err(mlua::Error::runtime("users are a list of { uid = …, sid = … }"));
    };
    let (members, nowhere) = convert::members(context, users)?;
    if !nowhere.is_empty() {
        let some = nowhere.get(..8).unwrap_or(&nowhere);
        tracing::warn!(route = %message.route, count = nowhere.len(), ?some, "users without a sid are not pushed to");
    }
    Ok((message, members, nowhere, self::options(options)?))
}

fn options(value: &Value) -> mlua::Result<PushOptions> {
    match value {
        Value::Nil => Ok(PushOptions::default()),
        Value::Table(table) => {
            let exclude = table.raw_get::<Option<Table>>("exclude")?;
            let exclude = exclude
                .map(|list| convert::uids(&list))
                .transpose()?
                .unwrap_or_default();
            Ok(PushOptions {
                exclude: exclude.into(),
            })
        }
        other => Err(mlua::Error::runtime(format!(
            "options are a table, not {}",
            other.type_name()
        ))),
    }
}

/// The uids that were not reached, or nil if there are none: a table for each push would be garbage.
fn names(context: &Context, lua: &Lua, uids: &[Uid]) -> mlua::Result<Option<Table>> {
    if uids.is_empty() {
        return Ok(None);
    }
    let list = lua.create_sequence_from(uids.iter().map(|uid| &**uid))?;
    context.json()?.mark_array(&list)?;
    Ok(Some(list))
}

/// A channel's name: text, or a number that becomes its decimal text.
fn with_name<R>(name: &Value, see: impl FnOnce(&str) -> R) -> mlua::Result<R> {
    match name {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => convert::with_uid(name, see),
        _ => Err(mlua::Error::runtime("a channel's name is a string or a number")),
    }
}
