//! A plugin's instance on one server: what it was given, and the only place from which it is called.
//!
//! It lives on its server's thread. The plugin knows it by the host's table, from which the functions of [`crate::ffi`]
//! find it again among the instances of the thread. No `RefCell` is borrowed while the plugin runs: whatever it is called
//! for, it may call back.

use crate::{
    calls::Slot,
    declared::Declared,
    ffi,
    handles::Handles,
    library::Library,
    mailbox::{self, Shared},
    timers::Timer,
};
use chathost_abi::{CODE_GONE, Call, Done, Plugin};
use chathost_core::{app::App, error::CallError, handler::LoadError, session::BackendSession};
use std::{
    cell::{Cell, RefCell},
    ffi::{CStr, c_void},
    fmt,
    future::Future,
    rc::{Rc, Weak},
    task::{Context, Poll},
};

/// One instance.
pub(crate) struct Instance {
    pub(crate) app: Rc<App>,
    pub(crate) declared: RefCell<Declared>,
    pub(crate) calls: RefCell<Handles<Slot>>,
    pub(crate) timers: RefCell<Handles<Timer>>,
    sessions: RefCell<Handles<Rc<BackendSession>>>,
    /// Who waits for the results of what takes time.
    waiting: RefCell<Handles<Done>>,
    shared: &'static Shared,
    plugin: &'static Plugin,
    /// The plugin's own pointer; null until it is created.
    state: Cell<*mut c_void>,
    ended: Cell<bool>,
}

thread_local! {
    static HERE: RefCell<Vec<(u64, Weak<Instance>)>> = const { RefCell::new(Vec::new()) };
}

impl Instance {
    /// Has the plugin make an instance, which declares what it answers.
    pub(crate) fn create(library: &Library, app: &Rc<App>, number: u64) -> Result<Rc<Self>, LoadError> {
        let file = library.path().display();
        let refused = |problems: Vec<String>| LoadError {
            problems: problems
                .iter()
                .map(|problem| format!("{file}: {problem}"))
                .collect(),
        };
        let plugin = library.plugin();
        let Some(create) = plugin.create else {
            return Err(refused(vec!["it lacks the function create".to_owned()]));
        };
        let (shared, messages) = Shared::leak(&format!("{file} {number}-{}", library.hash()));
        let instance = Rc::new(Self {
            app: app.clone(),
            declared: RefCell::new(Declared::new(library.path())),
            calls: RefCell::default(),
            timers: RefCell::default(),
            sessions: RefCell::default(),
            waiting: RefCell::default(),
            shared,
            plugin,
            state: Cell::new(std::ptr::null_mut()),
            ended: Cell::new(false),
        });
        HERE.with_borrow_mut(|here| here.push((shared.key(), Rc::downgrade(&instance))));
        let (state, said) = hear(|done| {
            // SAFETY: a function of a table that was checked; the host's table is never freed, and `done` is good for
            // as long as this call: a plugin that refuses says so before it returns.
            unsafe { create(shared.host(), done) }
        });
        instance.state.set(state);
        if state.is_null() {
            let reason = said.map(|(_, reason)| String::from_utf8_lossy(&reason).into_owned());
            let reason = reason.unwrap_or_else(|| "it did not say why".to_owned());
            return Err(refused(vec![format!(
                "the plugin refuses to be loaded: {reason}"
            )]));
        }
        let problems = instance.declared.borrow_mut().close();
        if !problems.is_empty() {
            return Err(refused(problems));
        }
        // SAFETY: null, or a text that ends with a zero byte, in a library that stays open.
        let name = (!plugin.name.is_null()).then(|| unsafe { CStr::from_ptr(plugin.name) }.to_string_lossy());
        tracing::debug!(library = shared.library(), ?name, "a plugin was created");
        app.tasks.spawn(mailbox::run(Rc::downgrade(&instance), messages));
        Ok(instance)
    }

    /// The instance with this key, if it is one of this thread's.
    pub(crate) fn here(key: u64) -> Option<Rc<Self>> {
        // At the thread's very end there is none any more.
        HERE.try_with(|here| {
            let here = here.borrow();
            here.iter().rev().find(|(of, _)| *of == key)?.1.upgrade()
        })
        .ok()?
    }

    /// `plugins/libchat.so 3-79dc2d75`.
    pub(crate) fn library(&self) -> &'static str {
        self.shared.library()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Calls the plugin.
    pub(crate) fn enter(self: &Rc<Self>, call: &Call) {
        if let (Some(function), false) = (self.plugin.call, self.ended.get()) {
            // SAFETY: the plugin's own function with the plugin's own pointer, which is destroyed only when this
            // instance is dropped, and `self` is held. The call is there until it returns.
            unsafe { function(self.state.get(), call) };
        }
    }

    /// Wakes the plugin.
    pub(crate) fn wake(self: &Rc<Self>, token: u64) {
        if let (Some(function), false) = (self.plugin.wake, self.ended.get()) {
            // SAFETY: as in `enter`.
            self.app.entered(|| unsafe { function(self.state.get(), token) });
        }
    }

    /// An extension of the plugin's, called with the plugin's pointer.
    pub(crate) fn extension<T, R>(
        self: &Rc<Self>,
        name: &str,
        call: impl FnOnce(&T, *mut c_void) -> R,
    ) -> Option<R> {
        let function = self.plugin.extension?;
        // SAFETY: as in `enter`. A table that it returns lives as long as the instance, by its contract, and says
        // itself what it is.
        let table =
            unsafe { ffi::table::<T>(function(self.state.get(), ffi::lend(name.as_bytes())).cast()) }?;
        Some(call(table, self.state.get()))
    }

    /// A session by its handle.
    pub(crate) fn session(&self, handle: u64) -> Option<Rc<BackendSession>> {
        self.sessions.borrow().get(handle).cloned()
    }

    /// A handle for a session.
    pub(crate) fn give(&self, session: Rc<BackendSession>) -> u64 {
        self.sessions.borrow_mut().insert(session)
    }

    /// A handle was given back.
    pub(crate) fn release(&self, handle: u64) {
        let released = self.sessions.borrow_mut().remove(handle);
        drop(released);
    }

    pub(crate) fn session_set(&self, session: u64, key: &str, value: &[u8]) {
        let Some(session) = self.session(session) else {
            return;
        };
        let library = self.library();
        let written = match serde_json::from_slice(value) {
            _ if value.is_empty() => session.remove(&self.app, key),
            Ok(value) => session.set(&self.app, key, value),
            Err(error) => {
                tracing::error!(library, key, %error, "a plugin sets a session's setting to what is no JSON");
                return;
            }
        };
        // The interface has no way to say it.
        if let Err(error) = written {
            tracing::error!(library, key, %error, "a plugin's setting is refused");
        }
    }

    /// Tells the plugin a result, now if it is there, else when it is.
    pub(crate) fn later(
        self: &Rc<Self>,
        done: Done,
        result: impl Future<Output = Result<Vec<u8>, CallError>> + 'static,
    ) {
        let mut result = Box::pin(result);
        // Most of what could take time does not; whoever polls again, in a task, brings the waker that counts.
        let mut context = Context::from_waker(std::task::Waker::noop());
        if let Poll::Ready(result) = result.as_mut().poll(&mut context) {
            return tell(done, result);
        }
        if self.ended.get() {
            return finish(done, CODE_GONE, b"the instance is being destroyed");
        }
        let handle = self.waiting.borrow_mut().insert(done);
        let weak = Rc::downgrade(self);
        self.app.tasks.spawn(async move {
            let result = result.await;
            let Some(instance) = weak.upgrade() else { return };
            let done = instance.waiting.borrow_mut().remove(handle);
            if let Some(done) = done {
                tell(done, result);
            }
        });
    }

    /// Nothing of it runs any more, and whoever waits hears that nothing comes.
    pub(crate) fn end(self: &Rc<Self>) {
        if self.ended.replace(true) {
            return;
        }
        self.end_timers();
        let waiting = self.waiting.borrow_mut().drain();
        for done in waiting {
            finish(done, CODE_GONE, b"the instance is being destroyed");
        }
        self.shared.close();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.shared.close();
        if let (Some(destroy), false) = (self.plugin.destroy, self.state.get().is_null()) {
            for done in self.waiting.get_mut().drain() {
                finish(done, CODE_GONE, b"the instance is being destroyed");
            }
            // SAFETY: once, with the plugin's own pointer; whoever calls the plugin holds the instance, so it is not
            // being called.
            unsafe { destroy(self.state.get()) };
        }
        // The plugin may have looked for it until now; it found nothing, for it cannot be held any more.
        let key = self.shared.key();
        // At the thread's very end the list is gone before.
        let _ = HERE.try_with(|here| here.borrow_mut().retain(|(of, _)| *of != key));
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instance").field(&self.library()).finish()
    }
}

/// Tells the plugin a result.
pub(crate) fn finish(done: Done, code: i64, result: &[u8]) {
    if let Some(call) = done.call {
        // SAFETY: the plugin's own function with its own context, on the server's thread, once: a `Done` is taken by
        // value wherever it is kept.
        unsafe { call(done.context, code, ffi::lend(result)) };
    }
}

/// Tells the plugin what came of it.
pub(crate) fn tell(done: Done, result: Result<Vec<u8>, CallError>) {
    match result {
        Ok(result) => finish(done, 0, &result),
        // 0 would be success.
        Err(error) => finish(
            done,
            if error.code == 0 {
                CallError::FAILED
            } else {
                error.code
            },
            error.message.as_bytes(),
        ),
    }
}

/// What a plugin said through the `Done` that it is called with, before it returned.
pub(crate) fn hear<R>(call: impl FnOnce(Done) -> R) -> (R, Option<(i64, Vec<u8>)>) {
    unsafe extern "C" fn said(context: *mut c_void, code: i64, result: chathost_abi::Bytes) {
        // SAFETY: the context is the one below, which is there until the plugin returns.
        unsafe { *context.cast::<Option<(i64, Vec<u8>)>>() = Some((code, ffi::bytes(result).to_vec())) };
    }
    let mut heard: Option<(i64, Vec<u8>)> = None;
    let context = (&raw mut heard).cast();
    let returned = call(Done {
        context,
        call: Some(said),
    });
    (returned, heard)
}
