//! A generation of scripts, as dispatch knows it: [`Handlers`] over a VM.
//!
//! What a script returns or raises becomes an answer here, and what went wrong becomes a line in the log. Every call
//! has its own budget ([`crate::budget`]), around everything that is done for it inside the VM.

use crate::{
    api::{self, Chain, Context, Repeat, error_value},
    budget::{Budget, Budgeted, CallLimits},
    error::{Raised, ScriptError},
    load::{self, Kind, Method, Scripts, Snapshot},
    next,
    value::ReadError,
    vm::{Limits, Vm},
    world::RealWorld,
};
use bytes::Bytes;
use chathost_core::{
    app::App,
    error::{CallError, Reply},
    handler::{
        self, GlobalRequest, HandlerFactory, HandlerSource, Handlers, LoadError, Manifest, MethodId, Request,
    },
    session::BackendSession,
};
use futures_util::future::LocalBoxFuture;
use mlua::{LuaString, MultiValue, Table, Value};
use std::{
    fmt,
    path::PathBuf,
    pin::Pin,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Scripts in a folder: `handlers/`.
#[derive(Debug)]
pub struct LuaHandlers {
    root: PathBuf,
}

impl LuaHandlers {
    /// The scripts below this folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// `app.lua` alone, for a type whose handlers are no scripts.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_app(&self, server_type: &str) -> Result<Arc<dyn HandlerFactory>, LoadError> {
        self.read_part(server_type, false)
    }

    /// Whether there are scripts for a type.
    pub fn has(&self, server_type: &str) -> bool {
        let file = self.root.join(format!("{server_type}.lua"));
        file.is_file()
            || ["handler", "remote"]
                .iter()
                .any(|part| self.root.join(server_type).join(part).is_dir())
    }

    fn read_part(&self, server_type: &str, scripts: bool) -> Result<Arc<dyn HandlerFactory>, LoadError> {
        let snapshot = Arc::new(Snapshot::read(&self.root).map_err(refused)?);
        Ok(Arc::new(LuaFactory {
            server_type: server_type.to_owned(),
            scripts,
            snapshot,
            hash: OnceLock::new(),
        }))
    }
}

impl HandlerSource for LuaHandlers {
    fn read(&self, server_type: &str) -> Result<Arc<dyn HandlerFactory>, LoadError> {
        self.read_part(server_type, true)
    }
}

/// The files as they were read once, so that all servers of a type run the same.
#[derive(Debug)]
struct LuaFactory {
    server_type: String,
    /// Whether more than `app.lua` is run.
    scripts: bool,
    snapshot: Arc<Snapshot>,
    /// Of the files that it uses, which only loading them tells.
    hash: OnceLock<String>,
}

impl HandlerFactory for LuaFactory {
    fn hash(&self) -> String {
        self.hash.get().cloned().unwrap_or_default()
    }

    fn build(&self, app: &Rc<App>, number: u64) -> Result<Rc<dyn Handlers>, LoadError> {
        let context = Context::new(app.clone());
        let script = &app.settings.script;
        let limits = Limits {
            call: CallLimits {
                cpu: Duration::from_millis(script.call_ms.into()),
                deadline: Duration::from_secs(script.deadline_seconds.into()),
                // In the order of `Spend`.
                spend: [script.pushes, script.rpc_calls, script.timers],
            },
            load: Duration::from_millis(script.load_ms.into()),
            json: script.response_bytes,
            memory: usize::try_from(script.memory_mb).unwrap_or(64) << 20,
        };
        let vm = Vm::new(limits, Rc::new(RealWorld::default()), |vm| {
            api::register(vm, &context).map(drop)
        })
        .map_err(|error| LoadError {
            problems: vec![format!("no script VM: {error}")],
        })?;
        let vm = Rc::new(vm);
        context.set_vm(&vm);
        let loaded = if self.scripts {
            load::load(&vm, &self.snapshot, &self.server_type)
        } else {
            load::load_app(&vm, &self.snapshot)
        };
        let scripts = Rc::new(loaded.map_err(refused)?);
        let hash = self.hash.get_or_init(|| scripts.sources().to_string());
        context.set_scripts(&scripts, format!("{number}-{hash}"));
        let generation =
            Generation::new(vm, context, scripts, &self.server_type).map_err(|error| LoadError {
                problems: vec![format!("{error}")],
            })?;
        Ok(Rc::new(LuaGeneration(Rc::new(generation))))
    }
}

fn refused(load::LoadError { problems }: load::LoadError) -> LoadError {
    LoadError { problems }
}

#[derive(Debug)]
struct LuaGeneration(Rc<Generation>);

struct Generation {
    manifest: Manifest,
    methods: Vec<Callable>,
    /// `__route__`, made once.
    route_key: LuaString,
    context: Rc<Context>,
    /// Held for `context`, which finds functions by name in it.
    _scripts: Rc<Scripts>,
    vm: Rc<Vm>,
}

struct Callable {
    method: Method,
    route: LuaString,
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generation({})", self.context.generation.borrow())
    }
}

impl Handlers for LuaGeneration {
    fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    fn handle(&self, request: Request) -> LocalBoxFuture<'static, Reply> {
        let generation = self.0.clone();
        let (route, sid) = (request.route.clone(), request.session.id());
        let watched = generation.watched(generation.clone().answer(request));
        Box::pin(async move {
            watched
                .await
                .unwrap_or_else(|error| generation.failed(route.as_str(), sid, &error))
        })
    }

    fn invoke(&self, method: MethodId, args: Bytes) -> LocalBoxFuture<'static, Result<Bytes, CallError>> {
        let generation = self.0.clone();
        let watched = generation.watched(generation.clone().results(method, args));
        Box::pin(async move { watched.await.map_err(|error| generation.refused(method, &error)) })
    }

    fn knows(&self, module: &str, function: &str) -> bool {
        self.0.context.named(module, function).is_some()
    }

    fn notice(
        &self,
        module: &str,
        function: &str,
        session: Rc<BackendSession>,
        reason: &str,
    ) -> LocalBoxFuture<'static, ()> {
        let what = format!("{module}.{function}");
        let Some(function) = self.0.context.named(module, function) else {
            tracing::error!(%what, "a session listener is not among what handlers/{module}.lua returns");
            return Box::pin(async {});
        };
        let (context, reason) = (self.0.context.clone(), reason.to_owned());
        Box::pin(async move { api::heard(&context, &what, function, session, reason).await })
    }

    fn selftest(&self) -> Result<(), LoadError> {
        match self.0.own("selftest", None)? {
            Some(Value::Boolean(false)) => Err(LoadError {
                problems: vec![format!("{}: selftest returned false", self.0.file())],
            }),
            _ => Ok(()),
        }
    }

    fn export_state(&self) -> Result<Option<Bytes>, LoadError> {
        let state = self.0.own("exportState", None)?.filter(|state| !state.is_nil());
        let Some(state) = state else { return Ok(None) };
        let mut text = Vec::new();
        let written = self.0.vm.json().write(&state, &mut text);
        written.map_err(|error| LoadError {
            problems: vec![format!("{}: exportState: {error}", self.0.file())],
        })?;
        Ok(Some(text.into()))
    }

    fn import_state(&self, state: Bytes) -> Result<(), LoadError> {
        self.0.own("importState", Some(&state)).map(drop)
    }

    fn retire(&self) {
        self.0.context.timers.end(Repeat::Always);
    }

    fn pending(&self) -> usize {
        self.0.context.timers.count(Repeat::Once)
    }

    fn end(&self) {
        self.0.context.timers.end(Repeat::Once);
        self.0.context.timers.end(Repeat::Always);
    }

    fn memory(&self) -> Option<(usize, usize)> {
        Some((self.0.vm.used_memory(), self.0.vm.limits().memory))
    }

    fn has_global_filters(&self) -> bool {
        !self.0.context.filters.borrow().global.is_empty()
    }

    fn global_before(&self, request: GlobalRequest) -> LocalBoxFuture<'static, Result<Bytes, Reply>> {
        let generation = self.0.clone();
        Box::pin(async move {
            let (route, sid) = (request.route.clone(), request.session.id());
            let passed = generation
                .watched(generation.clone().global_before(request))
                .await;
            passed.unwrap_or_else(|error| Err(generation.failed(route.as_str(), sid, &error)))
        })
    }

    fn global_after(&self, request: GlobalRequest, reply: Reply) -> LocalBoxFuture<'static, ()> {
        let generation = self.0.clone();
        Box::pin(async move {
            let sid = request.session.id();
            if let Err(error) = generation
                .watched(generation.clone().global_after(request, reply))
                .await
            {
                generation.context.log_error("a global filter", Some(sid), &error);
            }
        })
    }
}

impl Generation {
    fn new(vm: Rc<Vm>, context: Rc<Context>, scripts: Rc<Scripts>, server_type: &str) -> mlua::Result<Self> {
        let concurrent = context.concurrent.borrow().clone();
        let describe = |method: &Method| handler::Method {
            kind: match method.kind {
                Kind::Handler => handler::Kind::Handler,
                Kind::Remote => handler::Kind::Remote,
            },
            group: method.group.clone(),
            name: method.name.clone(),
            concurrent: concurrent.contains(&route_of(server_type, method)),
            place: match method.function.info().line_defined {
                Some(line) => format!("{}:{line}", method.file),
                None => method.file.clone(),
            },
        };
        let manifest = Manifest::new(server_type, scripts.methods().iter().map(describe).collect());
        let callable = |method: &Method| {
            Ok(Callable {
                method: method.clone(),
                route: vm.lua().create_string(route_of(server_type, method))?,
            })
        };
        let methods = scripts
            .methods()
            .iter()
            .map(callable)
            .collect::<mlua::Result<_>>()?;
        let route_key = vm.lua().create_string("__route__")?;
        Ok(Self {
            manifest,
            methods,
            route_key,
            context,
            _scripts: scripts,
            vm,
        })
    }

    fn file(&self) -> String {
        format!("handlers/{}.lua", self.context.app.server_type())
    }

    /// Calls a function that the type's own file returns beside its groups, if it does. It cannot wait.
    fn own(&self, name: &str, arg: Option<&[u8]>) -> Result<Option<Value>, LoadError> {
        let Some(function) = self.context.named(self.context.app.server_type(), name) else {
            return Ok(None);
        };
        let call = Budget::call(self.vm.limits().call);
        let _entered = self.vm.budget().enter(&call);
        let run = || -> Result<Value, ScriptError> {
            let arg = arg.map(|arg| self.vm.json().read(self.vm.lua(), arg)).transpose();
            let arg = arg.map_err(|error| self.unreadable(error))?;
            self.vm.run::<Value>(&function, arg)
        };
        run().map(Some).map_err(|error| LoadError {
            problems: vec![format!("{}: {name}: {error}", self.file())],
        })
    }

    /// A call with its own budget. Not `async`, so that the call is in no other future than the box that it is put into.
    fn watched<F: Future<Output = Result<T, ScriptError>>, T>(&self, call: F) -> Budgeted<Pin<Box<F>>> {
        self.vm.budget().watch(self.vm.limits().call, Box::pin(call))
    }

    async fn answer(self: Rc<Self>, request: Request) -> Result<Reply, ScriptError> {
        let callable = self.methods.get(request.method).ok_or(ScriptError::Dropped)?;
        let values = self.message(&request.body, &callable.route)?;
        let session = self.context.session(self.vm.lua(), request.session)?;
        let (chain, error_handler) = {
            let filters = self.context.filters.borrow();
            (filters.own.clone(), filters.error_handler.clone())
        };
        let outcome = if chain.is_empty() && error_handler.is_none() {
            self.call(callable, values, session).await?
        } else {
            // In a box of its own: what is seldom needed must not make every call's future larger.
            Box::pin(self.filtered(&chain, error_handler.as_ref(), callable, values, session)).await?
        };
        self.reply(&outcome)
    }

    async fn filtered(
        &self,
        chain: &Chain,
        error_handler: Option<&mlua::Function>,
        callable: &Callable,
        values: MultiValue,
        session: Value,
    ) -> Result<Value, ScriptError> {
        let msg = values.front().cloned().unwrap_or(Value::Nil);
        let mut outcome = match self.context.before(chain, &msg, &session).await {
            Ok(None) => self.call(callable, values, session.clone()).await,
            Ok(Some(answer)) => Ok(answer),
            Err(error) => Err(error),
        };
        if let (Err(error), Some(handler)) = (&outcome, error_handler) {
            let error = error_value(self.vm.lua(), error)?;
            let args = MultiValue::from_iter([error, msg.clone(), Value::Nil, session.clone()]);
            match next::call(&self.vm, handler, args).await {
                Ok(Value::Nil) => {}
                handled => outcome = handled,
            }
        }
        self.context.after(chain, outcome, &msg, &session).await
    }

    async fn call(
        &self,
        callable: &Callable,
        mut values: MultiValue,
        session: Value,
    ) -> Result<Value, ScriptError> {
        let takes_next = callable.method.takes_next(values.len());
        values.push_back(session);
        if takes_next {
            return Box::pin(next::call_with_next(&self.vm, &callable.method.function, values)).await;
        }
        self.vm.invoke::<Value>(&callable.method.function, values).await
    }

    async fn results(self: Rc<Self>, method: MethodId, args: Bytes) -> Result<Bytes, ScriptError> {
        let callable = self.methods.get(method).ok_or(ScriptError::Dropped)?;
        let args = self
            .vm
            .json()
            .read_list(self.vm.lua(), &args)
            .map_err(|error| self.unreadable(error))?;
        let results = self
            .vm
            .invoke::<MultiValue>(&callable.method.function, args)
            .await?;
        let mut text = Vec::with_capacity(128);
        self.vm.json().write_list(results.iter(), &mut text)?;
        Ok(text.into())
    }

    async fn global_before(
        self: Rc<Self>,
        request: GlobalRequest,
    ) -> Result<Result<Bytes, Reply>, ScriptError> {
        let chain = self.context.filters.borrow().global.clone();
        let lua = self.vm.lua();
        let values = self.message(&request.body, &lua.create_string(request.route.as_str())?)?;
        let msg = values.front().cloned().unwrap_or(Value::Nil);
        let session = self.context.session(lua, request.session)?;
        let answer = match self.context.before(&chain, &msg, &session).await {
            Ok(answer) => answer,
            Err(error) => Some(self.globally_handled(error, &msg, &session).await?),
        };
        if let Some(answer) = answer {
            return self.reply(&answer).map(Err);
        }
        // Filters may have changed it. An array's other values went through untouched.
        if values.len() > 1 {
            return Ok(Ok(request.body));
        }
        if let Value::Table(table) = &msg {
            table.raw_set(&self.route_key, Value::Nil)?;
        }
        let mut text = Vec::with_capacity(request.body.len() + 16);
        self.vm.json().write(&msg, &mut text)?;
        Ok(Ok(text.into()))
    }

    /// What `globalErrorHandler` makes of a message that a global filter refused.
    async fn globally_handled(
        &self,
        error: ScriptError,
        msg: &Value,
        session: &Value,
    ) -> Result<Value, ScriptError> {
        let handler = self.context.filters.borrow().global_error_handler.clone();
        let Some(handler) = handler else { return Err(error) };
        let raised = error_value(self.vm.lua(), &error)?;
        let args = MultiValue::from_iter([raised, msg.clone(), Value::Nil, session.clone()]);
        match next::call(&self.vm, &handler, args).await? {
            Value::Nil => Err(error),
            answer => Ok(answer),
        }
    }

    async fn global_after(self: Rc<Self>, request: GlobalRequest, reply: Reply) -> Result<(), ScriptError> {
        let chain = self.context.filters.borrow().global.clone();
        let lua = self.vm.lua();
        let values = self.message(&request.body, &lua.create_string(request.route.as_str())?)?;
        let msg = values.front().cloned().unwrap_or(Value::Nil);
        let session = self.context.session(lua, request.session)?;
        let resp = self
            .vm
            .json()
            .read(lua, &reply.body)
            .map_err(|error| self.unreadable(error))?;
        self.context
            .after(&chain, Ok(resp), &msg, &session)
            .await
            .map(drop)
    }

    /// A client's body as arguments: an array is spread; what JavaScript takes for false, and what is not JSON, is `{}`;
    /// a table knows its route.
    fn message(&self, body: &[u8], route: &LuaString) -> Result<MultiValue, ScriptError> {
        let lua = self.vm.lua();
        let mut values = match self.vm.json().read_list(lua, body) {
            Ok(values) => values,
            Err(error) if error.is_syntax() => MultiValue::new(),
            Err(error) => return Err(self.unreadable(error)),
        };
        let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        if is_array {
            return Ok(values);
        }
        let is_false = match values.front() {
            None | Some(Value::Nil | Value::Boolean(false)) => true,
            Some(Value::String(text)) => text.as_bytes().is_empty(),
            Some(Value::Number(number)) => *number == 0.0 || number.is_nan(),
            Some(Value::Integer(number)) => *number == 0,
            Some(_) => false,
        };
        if is_false {
            values = MultiValue::from_iter([Value::Table(lua.create_table()?)]);
        }
        if let Some(Value::Table(table)) = values.front() {
            Table::raw_set(table, &self.route_key, route)?;
        }
        Ok(values)
    }

    /// A VM that has no memory left for a message has to be replaced, or it would refuse every other one, too.
    fn unreadable(&self, error: ReadError) -> ScriptError {
        match error {
            ReadError::Memory => self.vm.out_of_memory(),
            error => mlua::Error::external(error).into(),
        }
    }

    fn reply(&self, value: &Value) -> Result<Reply, ScriptError> {
        if value.is_nil() {
            return Ok(Reply::empty());
        }
        let mut text = Vec::with_capacity(128);
        self.vm.json().write(value, &mut text)?;
        Ok(Reply::ok(text.into()))
    }

    /// What the client gets when the handler did not answer, and what the log gets.
    fn failed(&self, route: &str, sid: u64, error: &ScriptError) -> Reply {
        if let Some(table) = error.raised().and_then(Raised::answer) {
            let mut text = Vec::with_capacity(64);
            if self
                .vm
                .json()
                .write(&Value::Table(table.clone()), &mut text)
                .is_ok()
            {
                return Reply {
                    body: text.into(),
                    failed: true,
                };
            }
        }
        self.context.log_error(route, Some(sid), error);
        match error {
            _ if error.is_over_budget() => Reply::error(503, "the handler took more than it may"),
            ScriptError::Deadline { .. } => Reply::error(504, "no answer within the time limit"),
            ScriptError::Raised(raised) => match raised.host_error() {
                Some(error) => Reply::from_call_error(&error),
                None => Reply::unhandled(),
            },
            _ => Reply::unhandled(),
        }
    }

    /// What another server gets when the remote did not return. What nobody meant to be told stays in this log.
    fn refused(&self, method: MethodId, error: &ScriptError) -> CallError {
        let name = self.methods.get(method).map_or_else(String::new, |callable| {
            format!("{}.{}", callable.method.group, callable.method.name)
        });
        if let Some(answer) = error.raised().and_then(|raised| raised.answer()) {
            let code = answer.raw_get::<i64>("code").unwrap_or(CallError::FAILED);
            let message = answer
                .raw_get::<LuaString>("message")
                .map(|text| text.to_string_lossy());
            return CallError::new(code, message.unwrap_or_else(|_| format!("{name} failed")));
        }
        self.context.log_error(&name, None, error);
        match error {
            ScriptError::Raised(raised) => raised
                .host_error()
                .unwrap_or_else(|| CallError::failed(format!("{name} failed"))),
            ScriptError::Deadline { .. } => {
                CallError::new(CallError::TIMEOUT, format!("{name} took too long"))
            }
            _ if error.is_over_budget() => {
                CallError::new(CallError::BUSY, format!("{name} took more than it may"))
            }
            _ => CallError::failed(format!("{name} failed")),
        }
    }
}

fn route_of(server_type: &str, method: &Method) -> String {
    format!("{server_type}.{}.{}", method.group, method.name)
}
