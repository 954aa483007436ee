//! The server that a plugin runs on, as its author sees it.

use crate::{
    channel::{Channel, Member, Push},
    error::{Error, Result},
    host::{HostRef, Pending},
    panics,
    plugin::Methods,
    rpc::Rpc,
    session_service::{BackendSessionService, SessionService},
    task::Tasks,
    timer::Timers,
};
use chathost_abi::{LEVEL_DEBUG, LEVEL_ERROR, LEVEL_INFO, LEVEL_WARN};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    any::{Any, TypeId},
    cell::RefCell,
    collections::HashMap,
    fmt,
    fmt::Display,
    future::Future,
    rc::Rc,
};

/// The server: Pomelo's `app`. Cheap to clone; handlers get one as their first argument.
#[derive(Clone)]
pub struct App(Rc<Inner>);

struct Inner {
    host: HostRef,
    tasks: Tasks,
    timers: Timers,
    methods: RefCell<Rc<Methods>>,
    locals: RefCell<HashMap<TypeId, Rc<dyn Any>>>,
}

impl App {
    pub(crate) fn new(host: HostRef) -> Self {
        Self(Rc::new(Inner {
            host,
            tasks: Tasks::new(host),
            timers: Timers::default(),
            methods: RefCell::default(),
            locals: RefCell::default(),
        }))
    }

    /// The channel of this name. Asks nothing: whether there is one is [`Channel::exists`]'s to say.
    pub fn channel(&self, name: impl Into<String>) -> Channel {
        Channel::new(self, name.into())
    }

    /// The channel of this name; made if there is none.
    pub fn create_channel(&self, name: impl Into<String>) -> Channel {
        let name = name.into();
        self.tell("channelService.createChannel", &(&name,));
        Channel::new(self, name)
    }

    /// Pushes to these users. [`Push::to_users`] has more to say.
    ///
    /// # Errors
    /// Nobody was named; the message has no JSON.
    pub fn push_message_by_uids(
        &self,
        route: &str,
        msg: &(impl Serialize + ?Sized),
        users: &[Member],
    ) -> Result<()> {
        Push::to_users(self, users).send(route, msg)
    }

    /// Pushes to every session of the frontends of this type.
    ///
    /// # Errors
    /// There is no such frontend; the message has no JSON.
    pub fn broadcast(&self, server_type: &str, route: &str, msg: &(impl Serialize + ?Sized)) -> Result<()> {
        Push::broadcast(self, server_type).send(route, msg)
    }

    /// The sessions of this frontend. On a backend there are none.
    pub fn session_service(&self) -> SessionService {
        SessionService::new(self)
    }

    /// The sessions of that frontend, from anywhere.
    pub fn backend_session_service(&self, frontend_id: &str) -> BackendSessionService {
        BackendSessionService::new(self, frontend_id)
    }

    /// The servers of this type, to call their remotes.
    pub fn rpc(&self, server_type: &str) -> Rpc {
        Rpc::new(self, server_type)
    }

    /// What was kept under a name, by whatever generation; `None` also if it cannot be read as this type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.ask_now("app.get", &(key,)).ok().flatten()
    }

    /// Keeps a JSON value under a name, for every generation to come.
    pub fn set(&self, key: &str, value: &(impl Serialize + ?Sized)) {
        self.tell("app.set", &(key, value));
    }

    /// A value of this generation's alone, one for each type: what a script would keep in a local.
    pub fn local<T: Default + 'static>(&self) -> Rc<T> {
        let mut locals = self.0.locals.borrow_mut();
        let local = locals
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Rc::new(T::default()));
        // It is of the type that it is found by.
        local.clone().downcast().unwrap_or_default()
    }

    /// This server's id.
    pub fn server_id(&self) -> String {
        self.server()["id"].as_str().unwrap_or_default().to_owned()
    }

    /// This server's type.
    pub fn server_type(&self) -> String {
        self.server()["serverType"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// This server's entry in `servers.json`, with `id` and `serverType`.
    pub fn server(&self) -> Value {
        self.ask_now("app.getCurServer", &())
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    /// `development`, `production`, …
    pub fn env(&self) -> String {
        self.ask_now("app.getEnv", &()).ok().flatten().unwrap_or_default()
    }

    /// The entries of all servers of a type.
    pub fn servers_by_type(&self, server_type: &str) -> Vec<Value> {
        let servers = self.ask_now("app.getServersByType", &(server_type,));
        servers.ok().flatten().unwrap_or_default()
    }

    /// The entry of a server.
    pub fn server_by_id(&self, id: &str) -> Option<Value> {
        self.ask_now("app.getServerById", &(id,)).ok().flatten()
    }

    /// The entry of a list that a key hashes to, as Pomelo's dispatcher chooses.
    pub fn dispatch<T: Serialize + DeserializeOwned>(&self, key: &str, list: &[T]) -> Option<T> {
        self.ask_now("app.dispatch", &(key, list)).ok().flatten()
    }

    /// Runs a future beside the calls, on the server's thread.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let app = self.clone();
        self.0.tasks.spawn(Box::pin(async move {
            if let Err(said) = panics::caught(Box::pin(future)).await {
                app.error(said);
            }
        }));
    }

    /// A line in the server's log.
    pub fn debug(&self, line: impl Display) {
        self.0.host.log(LEVEL_DEBUG, &line.to_string());
    }

    /// A line in the server's log: what happened.
    pub fn info(&self, line: impl Display) {
        self.0.host.log(LEVEL_INFO, &line.to_string());
    }

    /// A line in the server's log: somebody misbehaved.
    pub fn warn(&self, line: impl Display) {
        self.0.host.log(LEVEL_WARN, &line.to_string());
    }

    /// A line in the server's log: the operator should look.
    pub fn error(&self, line: impl Display) {
        self.0.host.log(LEVEL_ERROR, &line.to_string());
    }

    /// Does by name what has no function here. Names and arguments are those of `plugins/README.md`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn ask<T: DeserializeOwned>(&self, name: &str, args: &impl Serialize) -> Result<Option<T>> {
        read(&self.asking(0, name, args)?.await?)
    }

    /// As `ask`, for what takes no time.
    pub(crate) fn ask_now<T: DeserializeOwned>(
        &self,
        name: &str,
        args: &impl Serialize,
    ) -> Result<Option<T>> {
        read(&self.asking(0, name, args)?.now()?)
    }

    pub(crate) fn asking(&self, session: u64, name: &str, args: &impl Serialize) -> Result<Pending> {
        let args = serde_json::to_vec(args)?;
        // `()` is null, and no arguments.
        let args = if args == b"null" { b"" } else { &*args };
        Ok(self.0.host.ask(session, name, args))
    }

    /// As `ask_now`, where nothing can be answered.
    pub(crate) fn tell(&self, name: &str, args: &impl Serialize) {
        if let Err(error) = self.ask_now::<Value>(name, args) {
            self.error(format_args!("{name}: {error}"));
        }
    }

    pub(crate) fn host(&self) -> HostRef {
        self.0.host
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.0.timers
    }

    pub(crate) fn methods(&self) -> Rc<Methods> {
        self.0.methods.borrow().clone()
    }

    pub(crate) fn set_methods(&self, methods: Methods) {
        self.0.methods.replace(Rc::new(methods));
    }

    /// Lets go of everything that holds it.
    pub(crate) fn end(&self) {
        self.0.timers.clear();
        self.0.tasks.clear();
        self.0.methods.take();
        let locals = self.0.locals.take();
        drop(locals);
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("App").field(&self.0.tasks).finish()
    }
}

/// JSON, or nothing.
pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<Option<T>> {
    match json {
        [] => Ok(None),
        json => serde_json::from_slice(json).map(Some).map_err(Error::from),
    }
}
