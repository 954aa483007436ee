//! What scripts see of the host, and the host of scripts. What they cannot do is in `tests/hostile.rs`.

use super::*;
use crate::error::Location;
use mlua::{FromLua, UserData, UserDataFields};
use std::cell::{Cell, RefCell};

/// It is always the same moment, and always the same chance.
#[derive(Default, Debug)]
struct Still {
    printed: RefCell<Vec<String>>,
}

impl World for Still {
    fn time(&self) -> Duration {
        Duration::from_millis(1_700_000_000_900)
    }

    fn clock(&self) -> Duration {
        Duration::from_millis(1500)
    }

    fn random(&self) -> u64 {
        7
    }

    fn print(&self, at: Option<Location>, line: &str) {
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        self.printed.borrow_mut().push(format!("{at} {line}"));
    }
}

/// Evaluates an expression in a call.
fn eval<T: FromLua>(vm: &Vm, expression: &str) -> Result<T, ScriptError> {
    let function = vm
        .lua()
        .load(format!("return {expression}"))
        .set_name("=test.lua")
        .set_compiler(vm.compiler())
        .into_function()
        .unwrap();
    let _entered = vm.budget().enter(&Budget::call(vm.limits().call));
    vm.run::<Value>(&function, ())
        .map(|value| T::from_lua(value, vm.lua()).unwrap())
}

fn vm_of(world: &Rc<Still>) -> Vm {
    Vm::new(Limits::default(), Rc::<Still>::clone(world), |_| Ok(())).unwrap()
}

#[test]
fn time_and_chance_are_the_worlds() {
    let vm = vm_of(&Rc::default());
    let seen: String = eval(
        &vm,
        "table.concat({ os.time(), os.clock(), os.date('!%Y-%m-%d %H:%M:%S'), os.date('!*t').year, os.date('!%Y', 0) }, ' ')",
    )
    .unwrap();
    assert_eq!(seen, "1700000000 1.5 2023-11-14 22:13:20 2023 1970");
    let numbers = "(function() local t = {} for i = 1, 50 do t[i] = math.random(1000) end return table.concat(t, ' ') end)()";
    let first: String = eval(&vm, numbers).unwrap();
    assert_eq!(eval::<String>(&vm_of(&Rc::default()), numbers).unwrap(), first);
    assert_ne!(eval::<String>(&vm, numbers).unwrap(), first);
    let seeded = format!(
        "(function() math.randomseed(3) local a = {numbers} math.randomseed(3) return a == {numbers} end)()"
    );
    assert!(eval::<bool>(&vm, &seeded).unwrap());
    let dice = "(function() for _ = 1, 500 do local n = math.random(1, 6) if n < 1 or n > 6 then return n end end return math.random(4, 4) end)()";
    assert_eq!(eval::<i64>(&vm, dice).unwrap(), 4);
}

#[test]
fn prints_go_to_the_world_and_not_without_end() {
    let world = Rc::new(Still::default());
    let vm = vm_of(&world);
    eval::<Value>(&vm, "print('a', 1, nil, true)").unwrap();
    assert_eq!(*world.printed.borrow(), ["test.lua:1 a\t1\tnil\ttrue"]);
    eval::<Value>(
        &vm,
        "(function() for i = 1, 1000 do print(('x'):rep(10000)) end end)()",
    )
    .unwrap();
    let printed = world.printed.borrow();
    assert_eq!(printed.len(), 202);
    assert!(printed.iter().all(|line| line.len() < 5000));
}

/// Counts how often it is asked.
struct App(Cell<i64>);

impl UserData for App {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("count", |_, app| {
            app.0.set(app.0.get() + 1);
            Ok(app.0.get())
        });
    }
}

fn vm_with_api() -> Vm {
    Vm::new(Limits::default(), Rc::new(Still::default()), |vm| {
        let (lua, globals) = (vm.lua(), vm.lua().globals());
        globals.set("app", App(Cell::new(0)))?;
        let host = lua.create_table()?;
        host.set("version", 1)?;
        globals.set("host", host)?;
        let find = lua.create_function(|lua, found: bool| {
            if found {
                return Ok((true, Value::Integer(42)));
            }
            let refusal = lua.create_table()?;
            refusal.set("code", 404)?;
            refusal.set("message", "nobody")?;
            Ok((false, Value::Table(refusal)))
        })?;
        globals.set("find", vm.raising(find)?)?;
        let slow = lua.create_async_function(|_, text: String| async move {
            tokio::task::yield_now().await;
            Ok((text == "good", text))
        })?;
        globals.set("slow", vm.raising(slow)?)
    })
    .unwrap()
}

#[test]
fn what_the_host_offers_is_asked_for_every_time_and_cannot_be_changed() {
    let vm = vm_with_api();
    let table: Vec<i64> = eval(
        &vm,
        "{ app.count, app.count, (function() return app.count end)() }",
    )
    .unwrap();
    assert_eq!(table, [1, 2, 3]);
    for attempt in ["host.version", "host.other", "app.count"] {
        eval::<Value>(&vm, &format!("(function() {attempt} = 2 end)()")).unwrap_err();
    }
    assert_eq!(eval::<i64>(&vm, "host.version").unwrap(), 1);
}

#[test]
fn a_table_that_the_host_raises_is_one_for_the_script() {
    let vm = vm_with_api();
    assert_eq!(eval::<i64>(&vm, "find(true)").unwrap(), 42);
    let caught =
        "(function() local ok, e = pcall(find, false) return tostring(ok) .. e.code .. e.message end)()";
    assert_eq!(eval::<String>(&vm, caught).unwrap(), "false404nobody");
    let error = eval::<Value>(&vm, "find(false)").unwrap_err();
    let raised = error.raised().unwrap();
    assert_eq!(raised.message, "nobody (code 404)");
    assert_eq!(raised.traceback, "", "an answer needs none");
    assert_eq!(raised.table.as_ref().unwrap().get::<i64>("code").unwrap(), 404);
    assert!(!error.is_over_budget());
}

#[test]
fn an_error_says_where() {
    let vm = vm_with_api();
    for (expression, expected) in [
        ("error('no')", "test.lua:1: no"),
        ("error('no', 0)", "test.lua:1: no"),
        (
            "json.decode('{')",
            "test.lua:1: not JSON: EOF while parsing an object at line 1 column 1",
        ),
        ("json.encode(print)", "test.lua:1: a function has no JSON"),
        ("nothing.x", "test.lua:1: attempt to index nil with 'x'"),
        ("math.random(0)", "test.lua:1: the interval is empty"),
        (
            "('x'):rep(-1, 2, 3) .. nil",
            "test.lua:1: attempt to concatenate string with nil",
        ),
    ] {
        let error = eval::<Value>(&vm, expression).unwrap_err();
        let raised = error.raised().unwrap();
        assert_eq!(raised.message, expected);
        assert!(
            raised.traceback.starts_with("  test.lua:1 in "),
            "{}",
            raised.traceback
        );
    }
}

#[tokio::test]
async fn handlers_wait_wherever_they_are() {
    let vm = vm_with_api();
    for body in [
        "return slow('good')",
        "local ok, text = pcall(slow, 'good') return ok and text",
        "local ok, text = pcall(slow, 'bad') return not ok and text == 'bad' and 'good'",
        "return coroutine.wrap(function() coroutine.yield(slow('good')) end)()",
        "local co = coroutine.create(function() slow('good') slow('good') return slow('good') end) return select(2, coroutine.resume(co))",
        "for text in coroutine.wrap(function() coroutine.yield(slow('good')) end) do return text end",
        "return (setmetatable({}, { __index = function() return slow('good') end })).x",
    ] {
        let function = vm
            .lua()
            .load(body)
            .set_compiler(vm.compiler())
            .into_function()
            .unwrap();
        let result = vm.call::<Value>(&function, ()).await;
        // Luau cannot wait in a metamethod, and says so.
        if body.contains("__index") {
            assert!(result.is_err(), "{body}");
        } else {
            assert_eq!(result.unwrap().to_string().unwrap(), "good", "{body}");
        }
    }
}

#[tokio::test]
async fn results_are_the_first_or_all() {
    let vm = vm_with_api();
    let function = vm.lua().load("return ...").into_function().unwrap();
    assert_eq!(
        vm.call::<Value>(&function, (1, 2)).await.unwrap(),
        Value::Integer(1)
    );
    assert_eq!(vm.call::<MultiValue>(&function, (1, 2)).await.unwrap().len(), 2);
    assert_eq!(vm.call::<Value>(&function, ()).await.unwrap(), Value::Nil);
}

#[test]
fn nothing_of_a_vm_stays() {
    let held = Rc::new(());
    let vm = Vm::new(Limits::default(), Rc::new(Still::default()), |vm| {
        let held = Rc::clone(&held);
        let function = vm.lua().create_function(move |_, ()| {
            let _ = &held;
            Ok(())
        })?;
        vm.lua().globals().set("held", function)
    })
    .unwrap();
    eval::<Value>(&vm, "held()").unwrap();
    assert_eq!(Rc::strong_count(&held), 2);
    drop(vm);
    assert_eq!(Rc::strong_count(&held), 1);
}
