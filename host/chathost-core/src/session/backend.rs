//! A session as a handler holds it: a copy, and the way home.
//!
//! `set` is local to the copy; `push` writes through to the session on its frontend; `bind` and `unbind` go through at
//! once. On the frontend itself home is a function call, elsewhere an envelope with an answer; scripts see no
//! difference. What a copy shows is how the session was when the message left its frontend.

use crate::{
    app::App,
    envelope::{Answer, Content, ServerId, SessionOp, SessionTarget, Uid},
    error::CallError,
    lane::LaneKey,
    rpc,
    session::{Settings, Snapshot},
};
use serde_json::Value;
use std::{cell::RefCell, rc::Rc, sync::Arc};

/// Pomelo's `FrontendSession` and `BackendSession` in one.
#[derive(Debug)]
pub struct BackendSession {
    id: u64,
    frontend_id: ServerId,
    uid: RefCell<Option<Uid>>,
    settings: RefCell<Arc<Settings>>,
}

impl BackendSession {
    /// A copy of a session as it travelled.
    pub fn new(snapshot: &Snapshot) -> Rc<Self> {
        Rc::new(Self {
            id: snapshot.id,
            frontend_id: snapshot.frontend_id.clone(),
            uid: RefCell::new(snapshot.uid.clone()),
            settings: RefCell::new(snapshot.settings.clone()),
        })
    }

    /// The session's id on its frontend.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The frontend it lives on.
    pub fn frontend_id(&self) -> &ServerId {
        &self.frontend_id
    }

    /// Whom it is bound to.
    pub fn uid(&self) -> Option<Uid> {
        self.uid.borrow().clone()
    }

    /// What orders its requests.
    pub fn lane(&self) -> LaneKey {
        LaneKey {
            frontend_id: self.frontend_id.clone(),
            sid: self.id,
        }
    }

    /// Reads a setting of the copy without cloning it.
    pub fn with<R>(&self, key: &str, read: impl FnOnce(Option<&Value>) -> R) -> R {
        read(self.settings.borrow().get(key))
    }

    /// Reads a setting of the copy.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.with(key, |value| value.cloned())
    }

    /// All settings of the copy.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }

    /// Writes a setting of the copy; `push` makes it last.
    ///
    /// # Errors
    /// The server's handlers keep too much.
    pub fn set(&self, app: &App, key: &str, value: Value) -> Result<(), CallError> {
        Settings::change(
            &mut self.settings.borrow_mut(),
            app.sessions.allowance(),
            key,
            Some(value),
        )
    }

    /// Removes a setting of the copy.
    ///
    /// # Errors
    /// The server's handlers keep too much: a copy of what is left is more.
    pub fn remove(&self, app: &App, key: &str) -> Result<(), CallError> {
        Settings::change(
            &mut self.settings.borrow_mut(),
            app.sessions.allowance(),
            key,
            None,
        )
    }

    /// The copy as it would travel.
    pub fn export(&self) -> Snapshot {
        Snapshot {
            id: self.id,
            frontend_id: self.frontend_id.clone(),
            uid: self.uid(),
            settings: self.settings(),
        }
    }

    /// Binds the session to a uid.
    ///
    /// # Errors
    /// Bound to another uid, the session is gone, or the frontend does not answer.
    pub async fn bind(&self, app: &Rc<App>, uid: Uid) -> Result<(), CallError> {
        self.home(app, SessionOp::Bind(uid.clone())).await?;
        self.uid.replace(Some(uid));
        Ok(())
    }

    /// Takes the uid away.
    ///
    /// # Errors
    /// Not bound to this uid, the session is gone, or the frontend does not answer.
    pub async fn unbind(&self, app: &Rc<App>, uid: Uid) -> Result<(), CallError> {
        self.home(app, SessionOp::Unbind(uid)).await?;
        self.uid.replace(None);
        Ok(())
    }

    /// Makes one setting of the copy last. One that the copy does not have becomes null.
    ///
    /// # Errors
    /// The session is gone, or the frontend does not answer.
    pub async fn push(&self, app: &Rc<App>, key: &str) -> Result<(), CallError> {
        let value = self.get(key).unwrap_or_default();
        self.home(app, SessionOp::Push(key.to_owned(), value)).await
    }

    /// Makes all settings of the copy last.
    ///
    /// # Errors
    /// The session is gone, or the frontend does not answer.
    pub async fn push_all(&self, app: &Rc<App>) -> Result<(), CallError> {
        self.home(app, SessionOp::PushAll(self.settings())).await
    }

    async fn home(&self, app: &Rc<App>, op: SessionOp) -> Result<(), CallError> {
        ask(app, &self.frontend_id, SessionTarget::Sid(self.id), op)
            .await
            .map(drop)
    }
}

/// Asks something of sessions, wherever they live (Pomelo's `backendSessionService`).
///
/// # Errors
/// What the frontend refused, or that it did not answer.
pub async fn ask(
    app: &Rc<App>,
    frontend_id: &ServerId,
    target: SessionTarget,
    op: SessionOp,
) -> Result<Vec<Arc<Snapshot>>, CallError> {
    if frontend_id == app.id() {
        return app.sessions.apply(app, &target, &op);
    }
    let content = |call| Content::Session {
        call: Some(call),
        target,
        op,
    };
    // Boxed, because the future of every `push` and `bind` would have room for it, and on the frontend none needs it.
    match Box::pin(rpc::ask(app, frontend_id, content)).await? {
        Answer::Sessions(sessions) => Ok(sessions),
        _ => Ok(Vec::new()),
    }
}
