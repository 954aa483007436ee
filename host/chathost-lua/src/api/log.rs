//! `log`: a script's lines in the host's log, with file and line.

use super::{Context, Registry, convert};
use crate::error::Location;
use mlua::{Lua, Table, Value};
use std::rc::Rc;

/// Longer lines are cut.
const LINE: usize = 4096;

pub(super) fn register(registry: &Registry<'_>) -> mlua::Result<()> {
    let class = registry.class("Log")?;
    class.method("debug", |context, lua, args: (Value, Option<Table>)| {
        write(
            context,
            lua,
            args,
            |at, generation, line| tracing::debug!(target: "script", at, generation, "{line}"),
        )
    })?;
    class.method("info", |context, lua, args: (Value, Option<Table>)| {
        write(
            context,
            lua,
            args,
            |at, generation, line| tracing::info!(target: "script", at, generation, "{line}"),
        )
    })?;
    class.method("warn", |context, lua, args: (Value, Option<Table>)| {
        write(
            context,
            lua,
            args,
            |at, generation, line| tracing::warn!(target: "script", at, generation, "{line}"),
        )
    })?;
    class.method("error", |context, lua, args: (Value, Option<Table>)| {
        write(
            context,
            lua,
            args,
            |at, generation, line| tracing::error!(target: "script", at, generation, "{line}"),
        )
    })?;
    registry.vm.lua().globals().set("log", class.seal())
}

fn write(
    context: &Rc<Context>,
    lua: &Lua,
    (message, fields): (Value, Option<Table>),
    line: impl FnOnce(&str, &str, &str),
) -> mlua::Result<()> {
    // A script that writes a line per message must not make the log its victim.
    let count = context.vm().map_or(0, |vm| vm.budget().count_print());
    if count > crate::vm::PRINTS {
        return Ok(());
    }
    let mut text = match message {
        Value::String(text) => text.to_string_lossy(),
        other => String::from_utf8_lossy(&convert::encode(context, &other)?).into_owned(),
    };
    if let Some(fields) = fields {
        text.push(' ');
        text.push_str(&String::from_utf8_lossy(&convert::encode(
            context,
            &Value::Table(fields),
        )?));
    }
    let end = (0..=LINE.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or_default();
    text.truncate(end);
    let at = Location::of_script(lua)
        .map(|at| at.to_string())
        .unwrap_or_default();
    line(&at, &context.generation.borrow(), &text);
    Ok(())
}
