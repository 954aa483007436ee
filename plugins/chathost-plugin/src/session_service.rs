//! The sessions of this frontend, and those of any.

use crate::{app::App, error::Result, session::Session};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The sessions of this frontend (Pomelo's `sessionService`). On a backend there are none.
#[derive(Debug, Clone)]
pub struct SessionService(App);

/// A session in an answer.
#[derive(Deserialize)]
struct View {
    handle: u64,
}

impl SessionService {
    pub(crate) fn new(app: &App) -> Self {
        Self(app.clone())
    }

    /// The session with this id.
    pub fn get(&self, sid: u64) -> Option<Session> {
        let view: View = self.0.ask_now("sessionService.get", &(sid,)).ok().flatten()?;
        Some(Session::given(&self.0, view.handle))
    }

    /// The sessions bound to a uid, in the order in which they were bound.
    pub fn by_uid(&self, uid: &str) -> Vec<Session> {
        self.list("sessionService.getByUid", &(uid,))
    }

    /// Every session.
    pub fn all(&self) -> Vec<Session> {
        self.list("sessionService.getAll", &())
    }

    /// Every session that has a uid.
    pub fn all_binded(&self) -> Vec<Session> {
        self.list("sessionService.getAllBinded", &())
    }

    /// Sessions here, bound or not.
    pub fn count(&self) -> usize {
        self.0
            .ask_now("sessionService.getSessionsCount", &())
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    /// Closes every session of a uid, with the kick package. Nobody there is well.
    pub fn kick(&self, uid: &str, reason: Option<&str>) {
        self.0.tell("sessionService.kick", &(uid, reason));
    }

    /// Where the client connects from: `{ ip, port }`.
    pub fn client_address(&self, sid: u64) -> Option<Value> {
        self.0
            .ask_now("sessionService.getClientAddressBySessionId", &(sid,))
            .ok()
            .flatten()
    }

    /// Hears this event of every session of the frontend; see [`Session::on`].
    ///
    /// # Errors
    /// There is no such event.
    pub fn on(&self, event: &str, listener: &str) -> Result<()> {
        self.0
            .ask_now::<Value>("sessionService.on", &(event, listener))
            .map(drop)
    }

    fn list(&self, name: &str, args: &impl Serialize) -> Vec<Session> {
        given(&self.0, self.0.ask_now(name, args).ok().flatten())
    }
}

/// The sessions of one frontend, from any server (Pomelo's `backendSessionService`).
#[derive(Debug, Clone)]
pub struct BackendSessionService {
    app: App,
    frontend_id: String,
}

impl BackendSessionService {
    pub(crate) fn new(app: &App, frontend_id: &str) -> Self {
        Self {
            app: app.clone(),
            frontend_id: frontend_id.to_owned(),
        }
    }

    /// The session with this id.
    ///
    /// # Errors
    /// The frontend does not answer.
    pub async fn get(&self, sid: u64) -> Result<Option<Session>> {
        let view: Option<View> = self
            .app
            .ask("backendSessionService.get", &(&self.frontend_id, sid))
            .await?;
        Ok(view.map(|view| Session::given(&self.app, view.handle)))
    }

    /// The sessions bound to a uid.
    ///
    /// # Errors
    /// The frontend does not answer.
    pub async fn by_uid(&self, uid: &str) -> Result<Vec<Session>> {
        let views = self
            .app
            .ask("backendSessionService.getByUid", &(&self.frontend_id, uid))
            .await?;
        Ok(given(&self.app, views))
    }

    /// Closes every session of a uid, with the kick package. Nobody there is well.
    ///
    /// # Errors
    /// The frontend does not answer.
    pub async fn kick_by_uid(&self, uid: &str, reason: Option<&str>) -> Result<()> {
        let args = (&self.frontend_id, uid, reason);
        self.app
            .ask::<Value>("backendSessionService.kickByUid", &args)
            .await
            .map(drop)
    }

    /// Closes one session, with the kick package. Nobody there is well.
    ///
    /// # Errors
    /// The frontend does not answer.
    pub async fn kick_by_sid(&self, sid: u64, reason: Option<&str>) -> Result<()> {
        let args = (&self.frontend_id, sid, reason);
        self.app
            .ask::<Value>("backendSessionService.kickBySid", &args)
            .await
            .map(drop)
    }
}

fn given(app: &App, views: Option<Vec<View>>) -> Vec<Session> {
    let views = views.unwrap_or_default();
    views
        .iter()
        .map(|view| Session::given(app, view.handle))
        .collect()
}
