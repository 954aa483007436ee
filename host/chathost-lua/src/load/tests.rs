//! What becomes of files: methods, modules, or a list of what is wrong with them.

use super::*;
use crate::{Limits, RealWorld};
use std::{fs, path::Path};
use tempfile::TempDir;

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join("handlers").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    folder
}

fn snapshot(folder: &TempDir) -> Arc<Snapshot> {
    Arc::new(Snapshot::read(&folder.path().join("handlers")).unwrap())
}

fn vm() -> Vm {
    Vm::new(Limits::default(), Rc::new(RealWorld::default()), |vm| {
        let app = vm.lua().create_table()?;
        app.set("serverType", "chat")?;
        vm.lua().globals().set("app", app)
    })
    .unwrap()
}

fn loaded(vm: &Vm, files: &[(&str, &str)]) -> Result<Scripts, LoadError> {
    load(vm, &snapshot(&folder(files)), "chat")
}

/// The routes of a server type, with `!` for a handler that answers through `next`.
fn routes(files: &[(&str, &str)]) -> Vec<String> {
    let scripts = loaded(&vm(), files).unwrap_or_else(|error| panic!("{error}"));
    scripts
        .methods()
        .iter()
        .map(|method| {
            let next = if method.takes_next(1) { "!" } else { "" };
            format!("{:?} {}.{}{next}", method.kind, method.group, method.name)
        })
        .collect()
}

fn problems(files: &[(&str, &str)]) -> Vec<String> {
    loaded(&vm(), files).map_or_else(|error| error.problems, |scripts| panic!("{scripts:?}"))
}

/// Evaluates an expression over the modules that were loaded, as `m(name)`.
fn eval(vm: &Vm, scripts: &Scripts, module: &str, field: &str) -> String {
    let function: Function = scripts.module(module).unwrap().get(field).unwrap();
    let _entered = vm.budget().enter(&Budget::call(vm.limits().call));
    vm.run::<Value>(&function, ()).unwrap().to_string().unwrap()
}

#[test]
fn groups_of_one_file() {
    let chat = "local chatHandler = {}
        function chatHandler.send(msg, session) end
        function chatHandler.later(msg, session, next) end
        function chatHandler.any(...) end
        function chatHandler._secret() end
        function chatHandler.constructor() end
        chatHandler.limit = 3
        local chatRemote = { add = function(uid, sid, name, flag) end }
        return { chatHandler = chatHandler, chatRemote = chatRemote, handler = { x = print }, _private = {},
            exportState = function() end, version = 3 }";
    assert_eq!(
        routes(&[("chat.lua", chat)]),
        [
            "Handler chatHandler.any",
            "Handler chatHandler.later!",
            "Handler chatHandler.send",
            "Handler handler.x",
            "Remote chatRemote.add",
        ]
    );
}

#[test]
fn pomelos_layout() {
    assert_eq!(
        routes(&[
            ("chat.lua", "return { roomHandler = { list = function() end } }"),
            (
                "chat/handler/chatHandler.lua",
                "return function(app) return { send = function() return app.serverType end } end",
            ),
            ("chat/remote/chatRemote.lua", "return { add = function() end }"),
            ("chat/remote/.#chatRemote.lua", "not a script"),
            ("chat/handler/deeper/other.lua", "not loaded"),
            ("connector/handler/entryHandler.lua", "not loaded"),
        ]),
        [
            "Handler chatHandler.send",
            "Handler roomHandler.list",
            "Remote chatRemote.add",
        ]
    );
}

#[test]
fn app_runs_first_and_modules_run_once() {
    let vm = vm();
    let scripts = loaded(
        &vm,
        &[
            ("app.lua", "local count = require('util/count') count.add('app') return function(a) assert(a == app) count.add('made') return { x = 1 } end"),
            ("util/count.lua", "local all = {} return { add = function(x) table.insert(all, x) end, all = function() return table.concat(all, ' ') end }"),
            ("chat.lua", "require('util/count.lua').add('chat') mine = 'chat' return { all = function() return mine end, chatHandler = {} }"),
            ("chat/handler/other.lua", "require('util/count').add('other') assert(mine == nil) mine = 'other' return { late = function() return select(2, pcall(require, 'unused')) end }"),
            ("unused.lua", "error('never run')"),
        ],
    )
    .unwrap();
    assert_eq!(eval(&vm, &scripts, "util/count", "all"), "app made chat other");
    assert_eq!(
        eval(&vm, &scripts, "chat", "all"),
        "chat",
        "globals are a file's own"
    );
    assert_eq!(scripts.module("app").unwrap().get::<i64>("x").unwrap(), 1);
    assert!(scripts.module("unused").is_none());
    assert_eq!(
        eval(&vm, &scripts, "chat/handler/other", "late"),
        "handlers/unused.lua was not loaded with the others: require it at the top of a file"
    );
    let files: Vec<&str> = scripts.sources().files().map(|(path, _)| path).collect();
    assert_eq!(
        files,
        ["app.lua", "chat.lua", "chat/handler/other.lua", "util/count.lua"]
    );
}

#[test]
fn a_snapshot_does_not_change() {
    let folder = folder(&[
        ("chat.lua", "return require('text')"),
        ("text.lua", "return {}"),
        ("gate.lua", ""),
    ]);
    let hash = |snapshot: &Arc<Snapshot>| load(&vm(), snapshot, "chat").unwrap().sources().hash();
    let before = snapshot(&folder);
    let first = hash(&before);
    write(
        folder.path(),
        &[("text.lua", "return { a = 1 }"), ("gate.lua", "x")],
    );
    assert_eq!(hash(&before), first);
    let after = snapshot(&folder);
    assert_ne!(hash(&after), first);
    write(folder.path(), &[("text.lua", "return {}")]);
    assert_eq!(
        hash(&snapshot(&folder)),
        first,
        "what it does not use does not count"
    );
    fs::remove_dir_all(folder.path().join("handlers")).unwrap();
    assert_eq!(hash(&before), first);
}

#[test]
fn a_server_type_without_scripts() {
    let [problem] = &problems(&[("gate.lua", "")])[..] else {
        panic!()
    };
    let start = "server type `chat` has no scripts: there is no handlers/chat.lua, and nothing in \
                 handlers/chat/handler/ or handlers/chat/remote/; looked for in /";
    assert!(
        problem.starts_with(start) && problem.ends_with("/handlers"),
        "{problem}"
    );
    let none = tempfile::tempdir().unwrap();
    let error = Snapshot::read(&none.path().join("handlers"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&*none.path().to_string_lossy()) && error.contains("No such file"),
        "{error}"
    );
    for name in ["", ".", "..", "../chat", "a/b", "a\\b", "app", ".git"] {
        let error = load(&vm(), &snapshot(&folder(&[("app.lua", "")])), name).unwrap_err();
        assert!(
            error.to_string().contains("cannot be the name of a server type"),
            "{name}"
        );
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    assert_eq!(
        problems(&[
            (
                "chat.lua",
                "local t = {}\nfunction t.send() end\nt['not good'] = function() end\nreturn { chatHandler = t, rooms = {}, ['a.Handler'] = {}, oldHandler = setmetatable({}, { __index = t }) }",
            ),
            ("chat/handler/a.lua", "local x = = 1"),
            ("chat/handler/b.lua", "\n\nlocal a = nil\nreturn a.b"),
            ("chat/handler/c.lua", "local t = {}"),
            ("chat/handler/chatHandler.lua", "return {}"),
            ("chat/handler/d.lua", "return function() return 1 end"),
            ("chat/remote/e.lua", "return require('util/none')"),
            ("chat/remote/f.lua", "return require('util.text')"),
            ("chat/remote/g.lua", "return require('circle/one')"),
            ("chat/remote/h.lua", "return require('../../etc/passwd')"),
            ("chat/remote/i.lua", "error { code = 7, message = 'not today' }"),
            ("util/text.lua", "return {}"),
            ("circle/one.lua", "return require('circle/two')"),
            ("circle/two.lua", "return require('circle/one')"),
        ]),
        [
            "handlers/chat.lua: group `a.Handler` cannot be part of a route; call it something without dots, spaces and less than 100 letters long",
            "handlers/chat.lua:3: `chatHandler.not good` cannot be part of a route; call it something without dots, spaces and less than 100 letters long",
            "handlers/chat.lua: group `oldHandler` has no functions of its own; those of its metatable cannot be called, copy them into it",
            "handlers/chat.lua: `rooms` is a table but no group: a group for clients is named roomsHandler, one for servers roomsRemote, and what is neither is local or begins with `_`",
            "handlers/chat/handler/a.lua:1: Expected identifier when parsing expression, got '='",
            "handlers/chat/handler/b.lua:4: attempt to index nil with 'b'",
            "handlers/chat/handler/c.lua: it has to return a table of functions; is the `return` at its end missing?",
            "handlers/chat/handler/chatHandler.lua: group `chatHandler` is in handlers/chat.lua already; rename one of them",
            "handlers/chat/handler/d.lua: the function it returns has to return a table of functions",
            "handlers/chat/remote/e.lua:1: there is no handlers/util/none.lua",
            "handlers/chat/remote/f.lua:1: there is no handlers/util.text.lua; handlers/util/text.lua is required with slashes",
            "handlers/circle/two.lua:1: handlers/circle/one.lua is not loaded yet when it is required again: handlers/circle/one.lua → handlers/circle/two.lua → handlers/circle/one.lua; move what both need into a third file",
            "handlers/chat/remote/h.lua:1: require(\"../../etc/passwd\"): a module is named by its path below handlers/, as in require(\"util/text\")",
            "handlers/chat/remote/i.lua: not today (code 7)",
        ]
    );
}

#[test]
fn what_keeps_the_rest_from_loading_is_said_alone() {
    assert_eq!(
        problems(&[
            ("app.lua", "error('stop')"),
            ("chat.lua", "return { chatHandler = x.y }")
        ]),
        ["handlers/app.lua:1: stop"]
    );
    assert_eq!(
        problems(&[("chat.lua", "return { send = function() end }")]),
        [
            "handlers/chat.lua: its functions are in no group; put those for clients into a table named chatHandler, those for servers into chatRemote, and return { chatHandler = chatHandler, … }"
        ]
    );
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    assert_eq!(
        routes(&[("chat.lua", "\u{FEFF}return { handler = { a = print } }")]),
        ["Handler handler.a"]
    );
}

#[cfg(unix)]
#[test]
fn links_that_go_round_or_out() {
    use std::os::unix::fs::symlink;
    let folder = folder(&[
        ("chat.lua", "return { chatHandler = require('round/other') }"),
        ("other.lua", "return {}"),
    ]);
    let handlers = folder.path().join("handlers");
    symlink(".", handlers.join("round")).unwrap();
    symlink("nowhere.lua", handlers.join("dead.lua")).unwrap();
    load(&vm(), &snapshot(&folder), "chat").unwrap_err();
    write(folder.path(), &[("chat.lua", "return require('dead')")]);
    let error = load(&vm(), &snapshot(&folder), "chat").unwrap_err().to_string();
    assert!(
        error.starts_with("handlers/chat.lua:1: handlers/dead.lua: No such file"),
        "{error}"
    );
    symlink("..", handlers.join("out")).unwrap();
    let error = Snapshot::read(&handlers).unwrap_err().to_string();
    assert_eq!(error, "handlers/out is a link that leads out of handlers/");
}
