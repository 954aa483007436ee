//! One server: what it is, and everything it owns.
//!
//! Pomelo's `app`. It lives on its server's thread and is passed, first, to whatever needs it; nothing in it may cross
//! to another thread. It does nothing by itself: the verbs are in the services.

use crate::{
    busy::Busy,
    channel::{ChannelService, global::GlobalChannels},
    config::{Cluster, ServerInfo, TypeSettings},
    connector::Outgoing,
    envelope::ServerId,
    error::CallError,
    handler::{Gate, Hooks, Serving, Staging},
    kept::{Allowance, Kept, entry},
    lane::Lanes,
    map::Map,
    post::{Post, Transport},
    pulse::Pulse,
    rpc::{Calls, Router},
    session::SessionService,
    tasks::Tasks,
    turn::Turn,
};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};
use tokio::sync::Notify;

/// The context of one server. Always behind an `Rc`; clone that.
#[derive(Debug)]
pub struct App {
    /// This server's entry in `servers.json`.
    pub info: Arc<ServerInfo>,
    /// Every server there is, and the files they came from.
    pub cluster: Arc<Cluster>,
    /// The settings of this server's type.
    pub settings: Arc<TypeSettings>,
    /// Sessions of clients connected here. Empty on a backend.
    pub sessions: SessionService,
    /// Channels kept here.
    pub channels: ChannelService,
    /// This frontend's part of the global channels.
    pub globals: GlobalChannels,
    /// Where a call goes.
    pub router: Router,
    /// Calls that wait for an answer.
    pub calls: Calls,
    /// The way out to other servers.
    pub post: Post,
    /// The way out to clients.
    pub outgoing: Outgoing,
    /// Starts this server's tasks.
    pub tasks: Tasks,
    /// The order of each session's requests.
    pub lanes: Rc<Lanes>,
    /// The end of the loop's turn.
    pub turn: Turn,
    /// The handlers that run now.
    pub serving: Serving,
    /// What the handlers may keep here.
    pub kept: Arc<Allowance>,
    /// What `app.lua` put in the connector's hands.
    pub hooks: Hooks,
    /// The handlers want to begin anew: [`App::renew`].
    pub(crate) renewal: Notify,
    pub(crate) staging: Staging,
    pub(crate) gate: Gate,
    pub(crate) pulse: Arc<Pulse>,
    /// Clients' connections, from accept to the last byte.
    pub(crate) connections: Busy,
    /// The server ends: messages are refused from here on.
    pub(crate) stopping: Cell<bool>,
    values: RefCell<Map<Box<str>, (Value, Kept)>>,
}

impl App {
    /// A server that owns nothing yet, and has its thread for itself.
    pub fn new(
        info: Arc<ServerInfo>,
        cluster: Arc<Cluster>,
        transport: Arc<dyn Transport>,
        pulse: Arc<Pulse>,
    ) -> Rc<Self> {
        Self::beside(Tasks::default(), info, cluster, transport, pulse)
    }

    /// A server that owns nothing yet, and may share its thread.
    pub(crate) fn beside(
        tasks: Tasks,
        info: Arc<ServerInfo>,
        cluster: Arc<Cluster>,
        transport: Arc<dyn Transport>,
        pulse: Arc<Pulse>,
    ) -> Rc<Self> {
        let settings = cluster.settings.for_type(&info.server_type);
        let kept = Allowance::new(settings.script.kept_mb);
        Rc::new(Self {
            sessions: SessionService::new(settings.session.single_session, kept.part()),
            channels: ChannelService::new(kept.clone()),
            globals: GlobalChannels::new(kept.clone()),
            kept,
            router: Router::default(),
            calls: Calls::new(&settings.rpc),
            post: Post::new(transport),
            outgoing: Outgoing::default(),
            lanes: Rc::new(Lanes::new(tasks.clone())),
            tasks,
            turn: Turn::default(),
            serving: Serving::default(),
            renewal: Notify::new(),
            staging: Staging::default(),
            gate: Gate::default(),
            pulse,
            hooks: Hooks::default(),
            connections: Busy::default(),
            stopping: Cell::new(false),
            values: RefCell::default(),
            info,
            cluster,
            settings,
        })
    }

    /// This server's id.
    pub fn id(&self) -> &ServerId {
        &self.info.id
    }

    /// This server's type.
    pub fn server_type(&self) -> &str {
        &self.info.server_type
    }

    /// Keeps a JSON value under a name, for every generation of handlers to come (Pomelo's `app.set`).
    ///
    /// # Errors
    /// The handlers keep too much.
    pub fn set(&self, key: &str, value: Value) -> Result<(), CallError> {
        let kept = self.kept.keep(entry(key, &value))?;
        if let Some(value) = self.staging.stage_value(key, (value, kept)) {
            self.put(key.into(), value);
        }
        Ok(())
    }

    /// Whether handlers that collect their garbage now may keep more: it holds channels that were destroyed, and what
    /// sessions were.
    pub fn is_littered(&self) -> bool {
        let garbage = self.sessions.lost() + self.channels.lost();
        self.kept.is_scarce() && garbage > self.kept.little()
    }

    pub(crate) fn put(&self, key: Box<str>, value: (Value, Kept)) {
        self.values.borrow_mut().insert(key, value);
    }

    /// Runs handlers' code that is no call of its own, under the eyes of the watchdog.
    pub fn entered<R>(&self, run: impl FnOnce() -> R) -> R {
        let outer = self.pulse.begin(usize::MAX, None);
        let result = run();
        self.pulse.end(outer);
        result
    }

    /// Lets the generation that serves begin anew, in a moment: what its handlers keep in memory is lost.
    pub fn renew(&self) {
        self.renewal.notify_one();
    }

    /// Changes the server, at once or, while handlers load, when they begin to serve.
    pub fn install(self: &Rc<Self>, change: impl FnOnce(&Rc<Self>) + 'static) {
        if let Some(change) = self.staging.stage(Box::new(change)) {
            change(self);
        }
    }

    /// Lets go of everything that handlers gave the server: their functions hold the server in turn.
    pub(crate) fn release(&self) {
        self.serving.clear();
        self.hooks.clear();
        self.router.clear();
        self.sessions.clear_listeners();
    }

    /// What was kept under a name (Pomelo's `app.get`).
    pub fn get(&self, key: &str) -> Option<Value> {
        self.staging
            .value(key)
            .or_else(|| self.values.borrow().get(key).map(|(value, _)| value.clone()))
    }
}
