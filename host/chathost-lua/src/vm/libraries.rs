//! The global functions and libraries of a VM, as far as they are not Luau's own.
//!
//! What is taken away, what is replaced because it reached outside, and `json`. The part that is written in Luau is
//! `prelude.luau`.

use crate::{
    budget::Budget,
    error::{Location, PRELUDE, innermost},
    value::{Json, ReadError},
    world::{Chance, World},
};
use mlua::{
    LightUserData, Lua, LuaString, Table, Value,
    chunk::{ChunkMode, Compiler},
};
use std::{cell::RefCell, rc::Rc};

/// Lines that a call may print; one more says that there were more.
pub(crate) const PRINTS: u32 = 200;
/// Bytes of a printed line.
const LINE: usize = 4096;

/// Prepares the globals and returns what the prelude has for the host.
pub(super) fn install(lua: &Lua, json: &Json, budget: &Budget, world: Rc<dyn World>) -> mlua::Result<Table> {
    let globals = lua.globals();
    // They make code out of text, reach into other functions' environments (and with that turn off Luau's fast
    // paths), or are about userdata that only hosts have.
    for name in ["loadstring", "getfenv", "setfenv", "newproxy"] {
        globals.raw_remove(name)?;
    }
    // Every file has its own (crate::load). Luau would prefer those of the globals table.
    for name in ["require", "_G"] {
        globals.raw_remove(name)?;
    }
    // Scripts of old call it to keep memory small. When to collect is the host's business; the count may be known.
    globals.set(
        "collectgarbage",
        lua.create_function(|lua, what: Option<LuaString>| {
            let counts = what.is_some_and(|what| what == "count");
            Ok(if counts { kibibytes(lua.used_memory()) } else { 0.0 })
        })?,
    )?;
    globals.set("json", json_library(lua, json, budget)?)?;
    // Level 2 spares what scripts call often a function call in front of each.
    let compiler = Compiler::new().set_optimization_level(2);
    let prelude = lua
        .load(include_str!("../prelude.luau"))
        .set_name(PRELUDE)
        .set_mode(ChunkMode::Text);
    prelude.set_compiler(compiler).call(outside(lua, budget, world)?)
}

fn kibibytes(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}

fn json_library(lua: &Lua, json: &Json, budget: &Budget) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    library.set("null", Value::NULL)?;
    let metatable = lua.create_table()?;
    metatable.set("__tostring", lua.create_function(|_, _: Value| Ok("null"))?)?;
    metatable.set("__metatable", false)?;
    metatable.set_readonly(true);
    lua.set_type_metatable::<LightUserData>(Some(metatable));
    let own = json.clone();
    library.set(
        "array",
        lua.create_function(move |lua, table: Option<Table>| {
            let table = table.map_or_else(|| lua.create_table(), Ok)?;
            own.mark_array(&table)?;
            Ok(table)
        })?,
    )?;
    let own = json.clone();
    library.set(
        "decode",
        lua.create_function(
            move |lua, text: LuaString| match own.read(lua, &text.as_bytes()) {
                Ok(value) => Ok((true, value)),
                Err(error @ ReadError::Memory) => Err(mlua::Error::MemoryError(error.to_string())),
                Err(ReadError::Lua(error)) => Err(error),
                Err(other) => Ok((false, refusal(lua, &other)?)),
            },
        )?,
    )?;
    let own = json.clone();
    let budget = budget.clone();
    library.set(
        "encode",
        lua.create_function(move |lua, value: Value| {
            let mut text = Vec::new();
            match own.write(&value, &mut text) {
                Ok(()) => Ok((true, Value::String(lua.create_string(text)?))),
                Err(error) => match budget.verdict() {
                    Some(verdict) => Err(mlua::Error::runtime(verdict)),
                    None => Ok((false, refusal(lua, &error)?)),
                },
            }
        })?,
    )?;
    Ok(library)
}

/// What `raising` in the prelude raises.
fn refusal(lua: &Lua, error: &impl std::fmt::Display) -> mlua::Result<Value> {
    Ok(Value::String(lua.create_string(error.to_string())?))
}

/// What the prelude makes library functions of.
fn outside(lua: &Lua, budget: &Budget, world: Rc<dyn World>) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    host.set("pending", Lua::poll_pending())?;
    host.set(
        "text",
        lua.create_function(|lua, raised: Value| match raised {
            Value::Error(error) => lua.create_string(innermost(&error)).map(Value::String),
            raised => Ok(raised),
        })?,
    )?;

    let clock = Rc::clone(&world);
    host.set(
        "clock",
        lua.create_function(move |_, ()| Ok(clock.clock().as_secs_f64()))?,
    )?;
    let time = Rc::clone(&world);
    host.set(
        "time",
        lua.create_function(move |_, ()| Ok(time.time().as_secs()))?,
    )?;

    let chance = Rc::new(RefCell::new(Chance::new(world.random())));
    let seeded = Rc::clone(&chance);
    host.set(
        "randomseed",
        lua.create_function(move |_, seed: f64| {
            *seeded.borrow_mut() = Chance::new(seed.to_bits());
            Ok(())
        })?,
    )?;
    host.set(
        "random",
        lua.create_function(move |_, (low, high): (Option<f64>, Option<f64>)| {
            let mut chance = chance.borrow_mut();
            let Some(low) = low else {
                return Ok(Some(chance.unit()));
            };
            let (low, high) = high.map_or((1.0, low), |high| (low, high));
            let (low, high) = (low.trunc(), high.trunc());
            Ok(whole_number(&mut chance, low, high))
        })?,
    )?;

    let budget = budget.clone();
    host.set(
        "print",
        lua.create_function(move |lua, text: LuaString| {
            let count = budget.count_print();
            if count <= PRINTS {
                let text = text.as_bytes();
                let line = String::from_utf8_lossy(text.get(..LINE).unwrap_or(&text));
                world.print(Location::of_script(lua), &line);
            } else if count == PRINTS + 1 {
                world.print(Location::of_script(lua), "(this call prints more than is shown)");
            }
            Ok(())
        })?,
    )?;
    Ok(host)
}

/// A whole number between two, both included; `None` if there is none.
fn whole_number(chance: &mut Chance, low: f64, high: f64) -> Option<f64> {
    let span = high - low;
    // Above 2^53 doubles have gaps; what Luau does there is no better.
    if !(0.0..9_007_199_254_740_992.0).contains(&span) {
        return None;
    }
    Some(low + chance.below(span as u64 + 1) as f64)
}
