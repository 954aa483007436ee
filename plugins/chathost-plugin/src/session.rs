//! A session: who a handler is talking to.

use crate::{
    app::{App, read},
    error::{Error, Result},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{cell::Cell, fmt, rc::Rc};

/// A client's session, as it was when the message left its frontend. Cheap to clone, and may be kept.
///
/// `set` changes this copy; `push` makes it last. `bind` and `unbind` go through at once.
#[derive(Clone)]
pub struct Session(Rc<Inner>);

struct Inner {
    app: App,
    handle: Cell<u64>,
    /// It is ours to release.
    held: Cell<bool>,
}

impl Session {
    /// A session of a call, which the host takes back when the call is over.
    pub(crate) fn lent(app: &App, handle: u64) -> Self {
        Self::new(app, handle, false)
    }

    /// A session that is ours.
    pub(crate) fn given(app: &App, handle: u64) -> Self {
        Self::new(app, handle, true)
    }

    fn new(app: &App, handle: u64, held: bool) -> Self {
        Self(Rc::new(Inner {
            app: app.clone(),
            handle: Cell::new(handle),
            held: Cell::new(held),
        }))
    }

    /// The call is about to be over: whoever kept the session keeps it with a handle of its own.
    pub(crate) fn outlive(self) {
        if Rc::strong_count(&self.0) > 1 && !self.0.held.get() {
            self.0
                .handle
                .set(self.0.app.host().session_hold(self.0.handle.get()));
            self.0.held.set(true);
        }
    }

    /// Whom it is bound to.
    pub fn uid(&self) -> Option<String> {
        let text = |uid: &[u8]| std::str::from_utf8(uid).unwrap_or_default().to_owned();
        let uid = self.0.app.host().session_uid(self.handle(), text).ok()?;
        Some(uid).filter(|uid| !uid.is_empty())
    }

    /// Its id on its frontend.
    pub fn id(&self) -> u64 {
        self.export()["id"].as_u64().unwrap_or_default()
    }

    /// The frontend it lives on.
    pub fn frontend_id(&self) -> String {
        self.export()["frontendId"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// A setting; `None` also if it cannot be read as this type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let value = self.0.app.host().session_get(self.handle(), key, read);
        value.ok()?.ok().flatten()
    }

    /// Changes a setting of this copy; `push` makes it last.
    pub fn set(&self, key: &str, value: &(impl Serialize + ?Sized)) {
        match serde_json::to_vec(value) {
            Ok(value) => self.0.app.host().session_set(self.handle(), key, &value),
            Err(error) => self.0.app.error(format_args!("session.set {key}: {error}")),
        }
    }

    /// Removes a setting of this copy.
    pub fn remove(&self, key: &str) {
        self.0.app.host().session_set(self.handle(), key, b"");
    }

    /// Makes one setting of this copy last.
    ///
    /// # Errors
    /// The session is gone, or its frontend does not answer.
    pub async fn push(&self, key: &str) -> Result<()> {
        self.go("session.push", &(key,)).await
    }

    /// Makes all settings of this copy last.
    ///
    /// # Errors
    /// As `push`.
    pub async fn push_all(&self) -> Result<()> {
        self.go("session.pushAll", &()).await
    }

    /// Binds the session to a uid.
    ///
    /// # Errors
    /// Bound to another uid, the session is gone, or its frontend does not answer.
    pub async fn bind(&self, uid: &str) -> Result<()> {
        self.go("session.bind", &(uid,)).await
    }

    /// Takes the uid away.
    ///
    /// # Errors
    /// Not bound, the session is gone, or its frontend does not answer.
    pub async fn unbind(&self) -> Result<()> {
        self.go("session.unbind", &()).await
    }

    /// Hears an event of this session: `bind`, `unbind` or `closed`. `listener` is the name of one that the plugin
    /// declares ([`Plugin::listener`](crate::Plugin::listener)): it is looked up when the event comes, in the generation
    /// of that moment, so it survives a swap.
    ///
    /// # Errors
    /// The client is connected to another server; there is no such event.
    pub fn on(&self, event: &str, listener: &str) -> Result<()> {
        let pending = self
            .0
            .app
            .asking(self.handle(), "session.on", &(event, listener))?;
        pending.now().map(drop)
    }

    /// `{ id, frontendId, uid, settings }`.
    pub fn export(&self) -> Value {
        let exported = || -> Result<Option<Value>> {
            read(&self.0.app.asking(self.handle(), "session.export", &())?.now()?)
        };
        exported().ok().flatten().unwrap_or_default()
    }

    /// Does by name what has no function here: see [`App::ask`].
    ///
    /// # Errors
    /// What the server says.
    pub async fn ask<T: DeserializeOwned>(&self, name: &str, args: &impl Serialize) -> Result<Option<T>> {
        read(&self.0.app.asking(self.handle(), name, args)?.await?)
    }

    pub(crate) fn handle(&self) -> u64 {
        self.0.handle.get()
    }

    async fn go(&self, name: &str, args: &impl Serialize) -> Result<(), Error> {
        self.0.app.asking(self.handle(), name, args)?.await.map(drop)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.held.get() {
            self.app.host().session_release(self.handle.get());
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.handle()).finish()
    }
}
