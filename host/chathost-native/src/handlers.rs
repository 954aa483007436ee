//! A library as dispatch knows it: [`Handlers`] over an instance, and the functions that the connector and the router
//! call. What a plugin answers becomes an answer here, and what went wrong a line in the log.

use crate::{
    calls::{Asked, Failure},
    instance::{Instance, hear},
    library::Library,
};
use bytes::Bytes;
use chathost_abi::{EXTENSION_SELFTEST, EXTENSION_STATE, SelftestExtension, StateExtension};
use chathost_core::{
    app::App,
    error::{CallError, Reply},
    handler::{
        CheckClient, GlobalRequest, HandlerFactory, Handlers, LoadError, Manifest, MethodId, Request,
        UserHandshake,
    },
    rpc::RouteParam,
    session::BackendSession,
};
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::rc::Rc;

impl HandlerFactory for Library {
    fn hash(&self) -> String {
        Self::hash(self).to_owned()
    }

    fn build(&self, app: &Rc<App>, number: u64) -> Result<Rc<dyn Handlers>, LoadError> {
        Ok(Rc::new(Native::build(self, app, number)?))
    }
}

/// One generation of one server's handlers, out of a library.
#[derive(Debug)]
struct Native {
    instance: Rc<Instance>,
    manifest: Manifest,
    file: String,
}

impl Native {
    fn build(library: &Library, app: &Rc<App>, number: u64) -> Result<Self, LoadError> {
        let instance = Instance::create(library, app, number)?;
        let manifest = instance.declared.borrow_mut().manifest(app.server_type());
        Ok(Self {
            instance,
            manifest,
            file: library.path().display().to_string(),
        })
    }

    fn name(&self, method: MethodId) -> String {
        let method = self.manifest.method(method);
        method.map_or_else(String::new, |method| format!("{}.{}", method.group, method.name))
    }

    fn refused(&self, what: &str, said: Option<(i64, Vec<u8>)>) -> Result<Vec<u8>, LoadError> {
        let problem = match said {
            Some((0, value)) => return Ok(value),
            Some((_, reason)) => String::from_utf8_lossy(&reason).into_owned(),
            None => "it did not say how it went".to_owned(),
        };
        Err(LoadError {
            problems: vec![format!("{}: {what}: {problem}", self.file)],
        })
    }
}

impl Handlers for Native {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn handle(&self, request: Request) -> LocalBoxFuture<'static, Reply> {
        let instance = self.instance.clone();
        let number = instance.declared.borrow().number(request.method);
        Box::pin(async move {
            let Some(method) = number else {
                return Reply::unhandled();
            };
            let sid = request.session.id();
            let answer = instance.call(Asked {
                method,
                route: request.route.as_str(),
                body: &request.body,
                session: Some(request.session),
                notify: request.notify,
            });
            match answer.await {
                Ok(body) if body.is_empty() => Reply::empty(),
                Ok(body) => Reply::ok(body),
                Err(failure) => instance.failed(request.route.as_str(), sid, failure),
            }
        })
    }

    fn invoke(&self, method: MethodId, args: Bytes) -> LocalBoxFuture<'static, Result<Bytes, CallError>> {
        let (instance, name) = (self.instance.clone(), self.name(method));
        let number = instance.declared.borrow().number(method);
        Box::pin(async move {
            let Some(method) = number else {
                return Err(CallError::failed(format!("{name} is not there")));
            };
            let asked = Asked {
                method,
                body: &args,
                ..Asked::default()
            };
            match instance.call(asked).await {
                Ok(results) if results.is_empty() => Ok(Bytes::from_static(b"[]")),
                Ok(results) => Ok(results),
                Err(failure) => Err(instance.error(&name, None, failure)),
            }
        })
    }

    /// The module does not matter: a listener's name is known to one part of a type.
    fn knows(&self, _module: &str, function: &str) -> bool {
        self.instance.declared.borrow().listener(function).is_some()
    }

    fn notice(
        &self,
        _module: &str,
        function: &str,
        session: Rc<BackendSession>,
        reason: &str,
    ) -> LocalBoxFuture<'static, ()> {
        let (instance, function) = (self.instance.clone(), function.to_owned());
        let number = instance.declared.borrow().listener(&function);
        let Some(method) = number else {
            let library = instance.library();
            tracing::error!(
                library,
                function,
                "a session listener is not among what the plugin declared"
            );
            return Box::pin(async {});
        };
        let reason = serde_json::Value::from(reason).to_string();
        Box::pin(async move {
            let sid = session.id();
            let asked = Asked {
                method,
                body: reason.as_bytes(),
                session: Some(session),
                ..Asked::default()
            };
            if let Err(failure) = instance.call(asked).await {
                instance.error(&function, Some(sid), failure);
            }
        })
    }

    fn selftest(&self) -> Result<(), LoadError> {
        let said = self
            .instance
            .extension(EXTENSION_SELFTEST, |table: &SelftestExtension, state| {
                // SAFETY: the extension's function with the instance's pointer; `done` is good until it returns.
                hear(|done| unsafe { (table.selftest)(state, done) }).1
            });
        match said {
            Some(said) => self.refused("selftest", said).map(drop),
            None => Ok(()),
        }
    }

    fn export_state(&self) -> Result<Option<Bytes>, LoadError> {
        let said = self
            .instance
            .extension(EXTENSION_STATE, |table: &StateExtension, state| {
                // SAFETY: as in `selftest`.
                hear(|done| unsafe { (table.export_state)(state, done) }).1
            });
        let Some(said) = said else { return Ok(None) };
        let state = self.refused("exportState", said)?;
        Ok((!state.is_empty()).then(|| state.into()))
    }

    fn import_state(&self, value: Bytes) -> Result<(), LoadError> {
        let said = self
            .instance
            .extension(EXTENSION_STATE, |table: &StateExtension, state| {
                // SAFETY: as in `selftest`; the value is there until it returns.
                hear(|done| unsafe { (table.import_state)(state, crate::ffi::lend(&value), done) }).1
            });
        match said {
            Some(said) => self.refused("importState", said).map(drop),
            None => Ok(()),
        }
    }

    fn retire(&self) {
        self.instance.end_repeating();
    }

    fn pending(&self) -> usize {
        self.instance.pending()
    }

    fn end(&self) {
        self.instance.end();
    }

    fn has_global_filters(&self) -> bool {
        let declared = self.instance.declared.borrow();
        !declared.global_before.is_empty() || !declared.global_after.is_empty()
    }

    fn global_before(&self, request: GlobalRequest) -> LocalBoxFuture<'static, Result<Bytes, Reply>> {
        let instance = self.instance.clone();
        let filters = instance.declared.borrow().global_before.clone();
        Box::pin(async move {
            let (mut body, sid) = (request.body, request.session.id());
            for method in filters {
                let asked = Asked {
                    method,
                    route: request.route.as_str(),
                    body: &body,
                    session: Some(request.session.clone()),
                    notify: false,
                };
                let answer = instance.call(asked).await;
                let answer =
                    answer.map_err(|failure| instance.failed(request.route.as_str(), sid, failure))?;
                match passed(&answer) {
                    Ok(None) => {}
                    Ok(Some(changed)) => body = changed,
                    Err(reply) => return Err(reply),
                }
            }
            Ok(body)
        })
    }

    fn global_after(&self, request: GlobalRequest, reply: Reply) -> LocalBoxFuture<'static, ()> {
        let instance = self.instance.clone();
        let filters = instance.declared.borrow().global_after.clone();
        Box::pin(async move {
            let json = |body: &Bytes| match serde_json::from_slice::<&RawValue>(body) {
                Ok(json) => json.get().to_owned(),
                // What a client sends may be anything.
                Err(_) => "null".to_owned(),
            };
            let body = format!(
                "{{\"msg\":{},\"reply\":{}}}",
                json(&request.body),
                json(&reply.body)
            );
            for method in filters {
                let asked = Asked {
                    method,
                    route: request.route.as_str(),
                    body: body.as_bytes(),
                    session: Some(request.session.clone()),
                    notify: true,
                };
                if let Err(failure) = instance.call(asked).await {
                    instance.error("a global filter", Some(request.session.id()), failure);
                }
            }
        })
    }
}

/// What a filter in front decided: `Err` is the answer.
fn passed(answer: &[u8]) -> Result<Option<Bytes>, Reply> {
    #[derive(Deserialize)]
    struct Passed<'a> {
        #[serde(borrow)]
        msg: Option<&'a RawValue>,
        #[serde(borrow)]
        reply: Option<&'a RawValue>,
    }
    let text = |json: &RawValue| Bytes::copy_from_slice(json.get().as_bytes());
    match serde_json::from_slice(answer) {
        _ if answer.is_empty() => Ok(None),
        Ok(Passed {
            reply: Some(reply), ..
        }) => Err(Reply::ok(text(reply))),
        Ok(Passed { msg, .. }) => Ok(msg.map(text)),
        Err(error) => {
            tracing::error!(%error, "a global filter answers what cannot be read");
            Err(Reply::unhandled())
        }
    }
}

impl Instance {
    /// What the client gets when the handler did not answer, and what the log gets.
    fn failed(&self, route: &str, sid: u64, failure: Failure) -> Reply {
        match failure {
            Failure::Meant { code, message } => Reply::error(code, &message),
            Failure::Ended => Reply::error(503, "the handler was replaced while it ran, and its time was up"),
            failure => Reply::from_call_error(&self.error(route, Some(sid), failure)),
        }
    }

    /// What another server gets, and what the log gets. What nobody meant to be told stays in the log.
    fn error(&self, what: &str, sid: Option<u64>, failure: Failure) -> CallError {
        let library = self.library();
        match failure {
            Failure::Meant { code, message } => CallError::new(code, message),
            Failure::Broken { code, message } => {
                tracing::error!(library, what, sid, code, "{message}");
                match code {
                    CallError::FAILED => CallError::failed(format!("{what} failed")),
                    code => CallError::new(code, message),
                }
            }
            Failure::Deadline => {
                tracing::error!(library, what, sid, "a plugin did not answer in time");
                CallError::new(CallError::TIMEOUT, format!("{what} took too long"))
            }
            Failure::Ended => CallError::new(CallError::BUSY, format!("{what} was replaced while it ran")),
        }
    }

    /// Who may connect is the plugin's to say.
    pub(crate) fn check_client(self: &Rc<Self>, method: u32) {
        let weak = Rc::downgrade(self);
        let check: CheckClient = Rc::new(move |kind, version| {
            let (weak, body) = (weak.clone(), serde_json::json!([kind, version]).to_string());
            Box::pin(async move {
                let instance = weak.upgrade().ok_or_else(ended)?;
                let body = body.as_bytes();
                let asked = Asked {
                    method,
                    body,
                    ..Asked::default()
                };
                let answer = instance.call(asked).await;
                let answer = answer.map_err(|failure| instance.error("checkClient", None, failure))?;
                Ok(&*answer == b"true")
            })
        });
        self.app
            .install(move |app| drop(app.hooks.check_client.replace(Some(check))));
    }

    /// The handshake's `user` is the plugin's to say.
    pub(crate) fn handshake(self: &Rc<Self>, method: u32) {
        let weak = Rc::downgrade(self);
        let answer: UserHandshake = Rc::new(move |message, address| {
            let (weak, body) = (weak.clone(), serde_json::json!([message, address]).to_string());
            Box::pin(async move {
                let instance = weak.upgrade().ok_or_else(ended)?;
                let body = body.as_bytes();
                let asked = Asked {
                    method,
                    body,
                    ..Asked::default()
                };
                let user = instance.call(asked).await;
                let user = user.map_err(|failure| instance.error("handshake", None, failure))?;
                Ok((!user.is_empty()).then_some(user))
            })
        });
        self.app
            .install(move |app| drop(app.hooks.handshake.replace(Some(answer))));
    }

    /// Calls to this type go where the plugin says.
    pub(crate) fn route(self: &Rc<Self>, server_type: &str, method: u32) {
        let weak = Rc::downgrade(self);
        let choose = move |param: &RouteParam| {
            let instance = weak.upgrade().ok_or_else(ended)?;
            let (session, body) = match param {
                RouteParam::Session(session) => (Some(session.clone()), String::new()),
                RouteParam::Value(value) => (None, value.to_string()),
            };
            let asked = Asked {
                method,
                body: body.as_bytes(),
                session,
                ..Asked::default()
            };
            let id = instance.call_now(asked);
            let id = id.map_err(|failure| instance.error("route", None, failure))?;
            serde_json::from_slice::<String>(&id)
                .map(Into::into)
                .map_err(|_| CallError::failed("the plugin's route function answered no server's id"))
        };
        let server_type = server_type.to_owned();
        self.app
            .install(move |app| app.router.set_function(&server_type, Rc::new(choose)));
    }
}

fn ended() -> CallError {
    CallError::failed("the plugin of this function has ended")
}
