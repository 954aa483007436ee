//! What a plugin answers: its author fills a [`Plugin`] while the server loads it.

use crate::{
    app::App,
    args::{Args, message},
    error::{Error, Result},
    filter::{Filters, Flow, Message, RpcCall},
    session::Session,
};
use chathost_abi::{FLAG_CONCURRENT, Kind};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{cell::RefCell, fmt, future::Future, pin::Pin, rc::Rc};

/// A plugin that is being loaded. [`export_plugin!`](crate::export_plugin) names the function that fills it.
pub struct Plugin {
    app: App,
    methods: Methods,
}

/// Everything that can be called, by number.
#[derive(Default)]
pub(crate) struct Methods {
    calls: Vec<Method>,
    pub(crate) export_state: Option<Export>,
    pub(crate) import_state: Option<Import>,
    pub(crate) selftest: Option<Selftest>,
}

/// A call that was decoded and begins when it is polled. Its outcome is JSON, or nothing.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>>>>>;

pub(crate) type Method = Rc<dyn Fn(&App, Incoming<'_>) -> Answer>;
pub(crate) type Export = Box<dyn Fn(&App) -> Result<Vec<u8>>>;
pub(crate) type Import = Box<dyn Fn(&App, &[u8]) -> Result<()>>;
pub(crate) type Selftest = Box<dyn Fn(&App) -> Result<()>>;

/// A call as it comes in. What it lends is there while it is decoded.
pub(crate) struct Incoming<'a> {
    pub(crate) route: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) session: Option<Session>,
}

impl Incoming<'_> {
    pub(crate) fn session(&mut self) -> Result<Session> {
        self.session
            .take()
            .ok_or_else(|| Error::internal("the call has no session"))
    }
}

impl Methods {
    /// What was declared with this number.
    pub(crate) fn method(&self, number: u32) -> Option<Method> {
        self.calls.get(number as usize).cloned()
    }
}

impl Plugin {
    pub(crate) fn new(app: &App) -> Self {
        Self {
            app: app.clone(),
            methods: Methods::default(),
        }
    }

    pub(crate) fn finish(self) {
        self.app.set_methods(self.methods);
    }

    /// The server that loads it.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Answers a route: `chatHandler.send`. What it returns is the response; `()` is `{}`.
    ///
    /// A message that cannot be read as `M` is answered with code 400 and the reason; one that is no JSON, or null, is
    /// read as `{}`, as Lua handlers get it.
    pub fn handler<M, F, Fut, R>(&mut self, name: &str, handler: F)
    where
        M: DeserializeOwned + 'static,
        F: Fn(App, M, Session) -> Fut + 'static,
        Fut: Future<Output = Result<R>> + 'static,
        R: Serialize + 'static,
    {
        self.handler_with(name, 0, handler);
    }

    /// As `handler`; requests of one session to it may run beside each other.
    pub fn concurrent_handler<M, F, Fut, R>(&mut self, name: &str, handler: F)
    where
        M: DeserializeOwned + 'static,
        F: Fn(App, M, Session) -> Fut + 'static,
        Fut: Future<Output = Result<R>> + 'static,
        R: Serialize + 'static,
    {
        self.handler_with(name, FLAG_CONCURRENT, handler);
    }

    fn handler_with<M, F, Fut, R>(&mut self, name: &str, flags: u32, handler: F)
    where
        M: DeserializeOwned + 'static,
        F: Fn(App, M, Session) -> Fut + 'static,
        Fut: Future<Output = Result<R>> + 'static,
        R: Serialize + 'static,
    {
        let method: Method = Rc::new(move |app, mut call| {
            let begun =
                message::<M>(call.body).and_then(|msg| Ok(handler(app.clone(), msg, call.session()?)));
            Box::pin(async move { answer(&begun?.await?) })
        });
        let filters = self.filters();
        let method = move |app: &App, call: Incoming<'_>| match filters.borrow().is_empty() {
            true => method(app, call),
            false => Filters::around(&filters.borrow(), &method, app, call),
        };
        self.declare(Kind::Handler, name, flags, Rc::new(method));
    }

    /// Answers other servers: `chatRemote.add`. The arguments are a tuple of up to eight; those that are left out are
    /// null, so make them an `Option`. `()` is no result.
    pub fn remote<A, F, Fut, R>(&mut self, name: &str, remote: F)
    where
        A: Args + 'static,
        F: Fn(App, A) -> Fut + 'static,
        Fut: Future<Output = Result<R>> + 'static,
        R: Serialize + 'static,
    {
        let method = move |app: &App, call: Incoming<'_>| -> Answer {
            let begun = A::read(call.body).map(|args| remote(app.clone(), args));
            Box::pin(async move {
                let result = answer(&begun?.await?)?;
                Ok([b"[", &*result, b"]"].concat())
            })
        };
        self.declare(Kind::Remote, name, 0, Rc::new(method));
    }

    /// Hears events of sessions, by this name: see [`Session::on`]. The last argument is the reason, for `closed`.
    pub fn listener<F, Fut>(&mut self, name: &str, listener: F)
    where
        F: Fn(App, Session, String) -> Fut + 'static,
        Fut: Future<Output = Result<()>> + 'static,
    {
        let method = move |app: &App, mut call: Incoming<'_>| -> Answer {
            let reason = serde_json::from_slice(call.body).unwrap_or_default();
            let begun = call
                .session()
                .map(|session| listener(app.clone(), session, reason));
            Box::pin(async move { begun?.await.map(|()| Vec::new()) })
        };
        self.declare(Kind::Listener, name, 0, Rc::new(method));
    }

    /// In front of this plugin's handlers, in the order of registration: lets a message pass, changed or not, or answers
    /// it.
    pub fn before<F, Fut>(&mut self, filter: F)
    where
        F: Fn(App, Message, Session) -> Fut + 'static,
        Fut: Future<Output = Result<Flow>> + 'static,
    {
        let filter: crate::filter::Before =
            Rc::new(move |app, msg, session| Box::pin(filter(app, msg, session)));
        self.filters().borrow_mut().before.push(filter);
    }

    /// Behind this plugin's handlers, in reverse: sees the outcome and may put another in its place.
    pub fn after<F, Fut>(&mut self, filter: F)
    where
        F: Fn(App, Message, Session, Result<Value>) -> Fut + 'static,
        Fut: Future<Output = Result<Value>> + 'static,
    {
        let filter: crate::filter::After =
            Rc::new(move |app, msg, session, outcome| Box::pin(filter(app, msg, session, outcome)));
        self.filters().borrow_mut().after.insert(0, filter);
    }

    /// In front of this plugin's calls of other servers: may send one to another server, by its id, or refuse it.
    pub fn rpc_before<F, Fut>(&mut self, filter: F)
    where
        F: Fn(App, RpcCall) -> Fut + 'static,
        Fut: Future<Output = Result<Option<String>>> + 'static,
    {
        let filter: crate::filter::RpcBefore = Rc::new(move |app, call| Box::pin(filter(app, call)));
        self.filters().borrow_mut().rpc.before.push(filter);
    }

    /// Behind this plugin's calls of other servers, in reverse, however they went.
    pub fn rpc_after<F, Fut>(&mut self, filter: F)
    where
        F: Fn(App, RpcCall) -> Fut + 'static,
        Fut: Future<Output = Result<()>> + 'static,
    {
        let filter: crate::filter::RpcAfter = Rc::new(move |app, call| Box::pin(filter(app, call)));
        self.filters().borrow_mut().rpc.after.insert(0, filter);
    }

    /// Answers in place of a handler that failed.
    pub fn error_handler<F, Fut>(&mut self, handler: F)
    where
        F: Fn(App, Error, Message, Session) -> Fut + 'static,
        Fut: Future<Output = Result<Value>> + 'static,
    {
        let handler: crate::filter::OnError =
            Rc::new(move |app, error, msg, session| Box::pin(handler(app, error, msg, session)));
        self.filters().borrow_mut().error_handler = Some(handler);
    }

    /// As `before`, for every message that comes to this frontend, whoever answers it.
    pub fn global_before<F, Fut>(&mut self, filter: F)
    where
        F: Fn(App, Message, Session) -> Fut + 'static,
        Fut: Future<Output = Result<Flow>> + 'static,
    {
        let method = move |app: &App, mut call: Incoming<'_>| -> Answer {
            let msg = Message::read(&call);
            let was = msg.body.clone();
            let begun = call.session().map(|session| filter(app.clone(), msg, session));
            Box::pin(async move {
                Ok(match begun?.await? {
                    Flow::Next(msg) if msg == was => Vec::new(),
                    Flow::Next(msg) => serde_json::to_vec(&serde_json::json!({ "msg": msg }))?,
                    Flow::Answer(reply) => serde_json::to_vec(&serde_json::json!({ "reply": reply }))?,
                })
            })
        };
        self.declare(Kind::GlobalBefore, "globalBefore", 0, Rc::new(method));
    }

    /// Behind every answer that this frontend gave: sees the message and the answer, and cannot change it.
    pub fn global_after<F, Fut>(&mut self, filter: F)
    where
        F: Fn(App, Message, Session, Value) -> Fut + 'static,
        Fut: Future<Output = Result<()>> + 'static,
    {
        let method = move |app: &App, mut call: Incoming<'_>| -> Answer {
            let mut both: Value = serde_json::from_slice(call.body).unwrap_or_default();
            let msg = Message {
                route: call.route.to_owned(),
                body: both["msg"].take(),
            };
            let reply = both["reply"].take();
            let begun = call
                .session()
                .map(|session| filter(app.clone(), msg, session, reply));
            Box::pin(async move { begun?.await.map(|()| Vec::new()) })
        };
        self.declare(Kind::GlobalAfter, "globalAfter", 0, Rc::new(method));
    }

    /// Decides which clients may connect, by the type and version that they say they are.
    pub fn check_client<F, Fut>(&mut self, check: F)
    where
        F: Fn(App, Value, Value) -> Fut + 'static,
        Fut: Future<Output = Result<bool>> + 'static,
    {
        let method = move |app: &App, call: Incoming<'_>| -> Answer {
            let begun =
                <(Value, Value)>::read(call.body).map(|(kind, version)| check(app.clone(), kind, version));
            Box::pin(async move { answer(&begun?.await?) })
        };
        self.declare(Kind::CheckClient, "checkClient", 0, Rc::new(method));
    }

    /// Sees every handshake and the client's address; what it returns becomes `user` in the response. An error refuses
    /// the client.
    pub fn handshake<F, Fut>(&mut self, handshake: F)
    where
        F: Fn(App, Value, String) -> Fut + 'static,
        Fut: Future<Output = Result<Value>> + 'static,
    {
        let method = move |app: &App, call: Incoming<'_>| -> Answer {
            let begun =
                <(Value, String)>::read(call.body).map(|(msg, address)| handshake(app.clone(), msg, address));
            Box::pin(async move { answer(&begun?.await?) })
        };
        self.declare(Kind::Handshake, "handshake", 0, Rc::new(method));
    }

    /// Chooses the server that calls to this type go to: by the session on whose behalf they are made, or by the value
    /// that the caller gives. Returns a server's id.
    pub fn route<F>(&mut self, server_type: &str, choose: F)
    where
        F: Fn(&App, Option<Session>, Value) -> Result<String> + 'static,
    {
        let method = move |app: &App, call: Incoming<'_>| -> Answer {
            let param = serde_json::from_slice(call.body).unwrap_or_default();
            let id = choose(app, call.session, param).and_then(|id| answer(&id));
            Box::pin(std::future::ready(id))
        };
        self.declare(Kind::Route, server_type, 0, Rc::new(method));
    }

    /// Sends calls to this type where the hash of a session's setting says: everybody of one room to one server.
    pub fn route_by_setting(&mut self, server_type: &str, key: &str) {
        self.app.tell("app.route", &(server_type, key));
    }

    /// What the next generation should know, Lua or native.
    pub fn export_state<T: Serialize>(&mut self, export: impl Fn(&App) -> Result<T> + 'static) {
        self.methods.export_state = Some(Box::new(move |app| answer(&export(app)?)));
    }

    /// Takes what the generation before exported. An error keeps this one from serving.
    pub fn import_state<T: DeserializeOwned>(&mut self, import: impl Fn(&App, T) -> Result<()> + 'static) {
        self.methods.import_state = Some(Box::new(move |app, state| {
            import(app, serde_json::from_slice(state)?)
        }));
    }

    /// A last word before it serves. An error keeps it from serving.
    pub fn selftest(&mut self, test: impl Fn(&App) -> Result<()> + 'static) {
        self.methods.selftest = Some(Box::new(test));
    }

    fn filters(&self) -> Rc<RefCell<Filters>> {
        self.app.local()
    }

    fn declare(&mut self, kind: Kind, name: &str, flags: u32, method: Method) {
        let number = u32::try_from(self.methods.calls.len()).unwrap_or(u32::MAX);
        self.methods.calls.push(method);
        self.app.host().declare(kind, name, flags, number);
    }
}

/// JSON; nothing where there is nothing to say.
pub(crate) fn answer(value: &impl Serialize) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    Ok(if json == b"null" { Vec::new() } else { json })
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("declared", &self.methods.calls.len())
            .finish_non_exhaustive()
    }
}
