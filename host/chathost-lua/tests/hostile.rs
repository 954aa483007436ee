//! Scripts that mean harm, and how each of them ends.
//!
//! The scripts are in `hostile/*.lua`. Every case becomes a `handlers/evil.lua`. It is loaded, its `attack` is called, and then, whatever came of that, an
//! honest function of the same VM has to work as before (unless the VM said that it should be replaced). A case that
//! the budget cannot end would hang this test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of this is a test, its helpers too"
)]

use chathost_lua::{
    Limits, RealWorld, ScriptError, Snapshot, Vm, budget::CallLimits, load, value::WriteError,
};
use mlua::Value;
use std::{
    fs,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

/// How an attack ends.
#[derive(Debug)]
enum End<'a> {
    /// Its time is up.
    Cpu,
    /// Its memory is up.
    Memory,
    /// One of the two: which of them is a matter of speed.
    CpuOrMemory,
    /// It raises an error with this in its message.
    Raises(&'a str),
    /// It returns this.
    Returns(&'a str),
    /// Its result cannot be written.
    Unsendable(&'a str),
    /// It is not even loaded.
    Refused(&'a str),
}
use End::{Cpu, CpuOrMemory, Memory, Raises, Refused, Returns, Unsendable};

impl<'a> End<'a> {
    /// As a case says it: `raises: too long`.
    fn new(text: &'a str) -> Self {
        let (how, what) = text.split_once(": ").unwrap_or((text, ""));
        match how {
            "cpu" => Cpu,
            "memory" => Memory,
            "cpu or memory" => CpuOrMemory,
            "raises" => Raises(what),
            "returns" => Returns(what),
            "cannot be sent" => Unsendable(what),
            "refused" => Refused(what),
            _ => panic!("{text} is no way to end"),
        }
    }
}

fn limits() -> Limits {
    Limits {
        call: CallLimits {
            cpu: Duration::from_millis(60),
            deadline: Duration::from_secs(10),
            ..CallLimits::default()
        },
        load: Duration::from_millis(60),
        memory: 16 << 20,
        json: 1 << 16,
    }
}

/// Generous, because the machine may be busy and the VM not optimised: what counts is that it ends, and how.
const PATIENCE: Duration = Duration::from_secs(20);

const HONEST: &str = r#"
local app = {}
function app.honest(text)
    assert(("%s"):format(text):upper():sub(1, 2) == "HI" and string.find("abc", "b", 1, true) == 2)
    assert(table.concat({ 3, 1, 2 }, ",") == "3,1,2" and math.floor(1.5) == 1 and #text == 2)
    local co = coroutine.wrap(function() coroutine.yield(1) return 2 end)
    assert(co() == 1 and co() == 2 and select('#', pcall(error, 'x')) == 2)
    return { text = text }
end
return app
"#;

fn snapshot(handlers: &Path) -> Arc<Snapshot> {
    Arc::new(Snapshot::read(handlers).unwrap())
}

fn check(name: &str, limits: Limits, script: &str, end: &End<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let handlers = folder.path().join("handlers");
    fs::create_dir(&handlers).unwrap();
    fs::write(handlers.join("app.lua"), HONEST).unwrap();
    fs::write(folder.path().join("secret.lua"), "return 'secret'").unwrap();
    fs::write(handlers.join("evil.lua"), script).unwrap();
    let vm = Vm::new(limits, Rc::new(RealWorld::default()), |_| Ok(())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();

    let start = Instant::now();
    let scripts = match (load(&vm, &snapshot(&handlers), "evil"), end) {
        (Ok(scripts), Refused(_)) => panic!("{name}: was loaded: {scripts:?}"),
        (Ok(scripts), _) => scripts,
        (Err(error), Refused(expected)) => {
            assert!(error.to_string().contains(expected), "{name}: {error}");
            assert!(start.elapsed() < PATIENCE, "{name}: took {:?}", start.elapsed());
            return;
        }
        (Err(error), _) => panic!("{name}: {error}"),
    };
    let attack = scripts
        .methods()
        .iter()
        .find(|method| method.name == "attack")
        .unwrap()
        .function
        .clone();
    let call = |function: mlua::Function, argument: &'static str| {
        runtime.block_on(vm.budget().watch(
            vm.limits().call,
            Box::pin(async {
                let value: Value = vm.invoke(&function, argument).await?;
                let mut out = Vec::new();
                vm.json().write(&value, &mut out)?;
                Ok(String::from_utf8(out).unwrap())
            }),
        ))
    };
    let result = call(attack, "hi");
    assert!(start.elapsed() < PATIENCE, "{name}: took {:?}", start.elapsed());
    println!("{name}: {:?}", start.elapsed());
    let replaced = matches!(result, Err(ScriptError::Memory { strained: true, .. }));
    match (end, &result) {
        (Cpu | CpuOrMemory, Err(ScriptError::Cpu { at: Some(at), .. })) => {
            assert_eq!(at.file, "handlers/evil.lua", "{name}");
        }
        (Memory | CpuOrMemory, Err(ScriptError::Memory { .. })) => {}
        (Raises(expected), Err(ScriptError::Raised(raised))) if raised.message.contains(expected) => {
            assert!(
                raised.message.len() < 4096 && raised.traceback.len() < 4096,
                "{name}: {raised:?}"
            );
        }
        (Returns(expected), Ok(json)) if json == expected => {}
        (Unsendable(expected), Err(ScriptError::Result(error))) if error.to_string().contains(expected) => {
            assert!(!matches!(error, WriteError::OutOfTime));
        }
        _ => panic!("{name}: {result:?}"),
    }
    if !replaced {
        let honest = scripts.module("app").unwrap().raw_get("honest").unwrap();
        assert_eq!(
            call(honest, "hi").unwrap(),
            r#"{"text":"hi"}"#,
            "{name}: the honest function"
        );
    }
}

/// A file whose handler has this body.
fn handler(body: &str) -> String {
    format!(
        "local evilHandler = {{}}\nfunction evilHandler.attack(msg)\n{body}\nend\nreturn {{ evilHandler = evilHandler }}\n"
    )
}

/// Every case of a file in `tests/hostile`.
fn check_all(cases: &str, limits: Limits, script: impl Fn(&str) -> String) {
    let mut count = 0;
    for case in cases.split("\n--- ").skip(1) {
        let (head, body) = case.split_once('\n').unwrap();
        let (name, end) = head.split_once(" => ").unwrap();
        check(name, limits, &script(body.trim_end()), &End::new(end));
        count += 1;
    }
    assert!(count > 10, "are these the cases?");
}

#[test]
fn loops() {
    check_all(include_str!("hostile/loops.lua"), limits(), handler);
}

#[test]
fn loops_in_disguise() {
    check_all(include_str!("hostile/loops_in_disguise.lua"), limits(), handler);
}

#[test]
fn text() {
    check_all(include_str!("hostile/text.lua"), limits(), handler);
}

#[test]
fn memory() {
    let limits = Limits {
        call: CallLimits {
            cpu: Duration::from_secs(10),
            ..limits().call
        },
        ..limits()
    };
    check_all(include_str!("hostile/memory.lua"), limits, handler);
}

#[test]
fn depth() {
    check_all(include_str!("hostile/depth.lua"), limits(), handler);
}

#[test]
fn errors_and_results() {
    check_all(include_str!("hostile/errors_and_results.lua"), limits(), handler);
}

#[test]
fn sandbox() {
    check_all(include_str!("hostile/sandbox.lua"), limits(), handler);
    check(
        "the forged pending value waits for ever",
        limits(),
        &handler("local co = coroutine.create(function() end) while true do coroutine.yield(co) end"),
        &Cpu,
    );
}

#[test]
fn waits() {
    // The only thing that can be waited for here is a turn of the loop; with the API it is a call that never returns.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("handlers")).unwrap();
    fs::write(
        folder.path().join("handlers/evil.lua"),
        handler("local ok = pcall(forever) while true do pcall(forever) end return ok"),
    )
    .unwrap();
    let vm = Vm::new(limits(), Rc::new(RealWorld::default()), |vm| {
        let forever = vm
            .lua()
            .create_async_function(|_, ()| std::future::pending::<mlua::Result<()>>())?;
        vm.lua().globals().set("forever", forever)
    })
    .unwrap();
    let scripts = load(&vm, &snapshot(&folder.path().join("handlers")), "evil").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let result = runtime.block_on(async { vm.call::<Value>(&scripts.methods()[0].function, ()).await });
    assert!(matches!(result, Err(ScriptError::Deadline { .. })), "{result:?}");
}

#[test]
fn load_time() {
    check_all(include_str!("hostile/load_time.lua"), limits(), str::to_owned);
    check(
        "bytecode",
        limits(),
        "\u{3}\u{1}\u{0}abc",
        &Refused("binary chunk"),
    );
    check(
        "parentheses",
        limits(),
        &format!("return {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        &Refused("handlers/evil.lua:1:"),
    );
    check(
        "blocks",
        limits(),
        &"do ".repeat(100_000),
        &Refused("handlers/evil.lua:1:"),
    );
    check(
        "concatenations",
        limits(),
        &format!("return {}'x'", "'x'..".repeat(100_000)),
        &Refused("handlers/evil.lua"),
    );
    check(
        "a file of two megabytes",
        limits(),
        &"-".repeat(2 << 20),
        &Refused("larger than"),
    );
}

#[cfg(unix)]
#[test]
fn links() {
    let folder = tempfile::tempdir().unwrap();
    let handlers = folder.path().join("handlers");
    fs::create_dir(&handlers).unwrap();
    fs::write(folder.path().join("secret.lua"), "return 'secret'").unwrap();
    fs::write(handlers.join("real.lua"), "return 'real'").unwrap();
    std::os::unix::fs::symlink("../secret.lua", handlers.join("out.lua")).unwrap();
    std::os::unix::fs::symlink("real.lua", handlers.join("inside.lua")).unwrap();
    fs::write(
        handlers.join("good.lua"),
        "assert(require('inside') == 'real') return {}",
    )
    .unwrap();
    fs::write(handlers.join("bad.lua"), "return { x = require('out') }").unwrap();
    let vm = || Vm::new(limits(), Rc::new(RealWorld::default()), |_| Ok(())).unwrap();
    load(&vm(), &snapshot(&handlers), "good").unwrap();
    let error = load(&vm(), &snapshot(&handlers), "bad").unwrap_err().to_string();
    assert_eq!(
        error,
        "handlers/bad.lua:1: handlers/out.lua is a link that leads out of handlers/"
    );
}
