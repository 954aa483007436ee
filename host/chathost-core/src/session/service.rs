//! The sessions of a frontend, by id and by uid.
//!
//! Pomelo's `sessionService`. Sessions come with a connection and go with it; between the two a uid may be bound to
//! them, and settings written into them. Kicking goes through the connection's one `close`.

use crate::{
    app::App,
    connector::{CloseReason, Connection, Group},
    envelope::{ServerId, SessionOp, SessionTarget, Uid},
    error::CallError,
    handler::{Event, Listener},
    kept::{Allowance, Kept},
    map::Map,
    session::{BackendSession, Settings, Snapshot, audience::Audiences},
};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    collections::hash_map::Entry,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
};

/// A client's session on its frontend.
#[derive(Debug)]
pub struct Session {
    /// Unique on this frontend, from 1.
    pub id: u64,
    connection: Rc<Connection>,
    uid: RefCell<Option<Uid>>,
    settings: RefCell<Arc<Settings>>,
    /// What travels with each message, until something changes.
    snapshot: RefCell<Option<Arc<Snapshot>>>,
    listeners: RefCell<Vec<Heard>>,
}

/// Who hears an event.
#[derive(Debug)]
struct Heard {
    event: Event,
    listener: Listener,
    _kept: Kept,
}

impl Heard {
    fn new(app: &App, event: Event, listener: Listener) -> Result<Self, CallError> {
        let _kept = app.kept.keep(listener.bytes())?;
        Ok(Self {
            event,
            listener,
            _kept,
        })
    }
}

impl Session {
    /// The way to the client.
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Whom it is bound to.
    pub fn uid(&self) -> Option<Uid> {
        self.uid.borrow().clone()
    }

    /// The session as it is now, to travel with a message.
    pub fn snapshot(&self, frontend_id: &ServerId) -> Arc<Snapshot> {
        self.snapshot
            .borrow_mut()
            .get_or_insert_with(|| {
                Arc::new(Snapshot {
                    id: self.id,
                    frontend_id: frontend_id.clone(),
                    uid: self.uid(),
                    settings: self.settings.borrow().clone(),
                })
            })
            .clone()
    }

    fn set_uid(&self, uid: Option<Uid>) {
        self.uid.replace(uid);
        self.snapshot.take();
    }
}

/// The sessions of a uid, in the order in which they were bound. Nearly always there is one, which then is one step away.
#[derive(Debug)]
struct Bound {
    first: Rc<Session>,
    more: Vec<Rc<Session>>,
}

/// All sessions of one frontend.
#[derive(Debug)]
pub struct SessionService {
    single_session: bool,
    /// Of every session that has none.
    no_settings: Arc<Settings>,
    last_id: Cell<u64>,
    sessions: RefCell<Map<u64, Rc<Session>>>,
    by_uid: RefCell<Map<Uid, Bound>>,
    audiences: Audiences,
    listeners: RefCell<Vec<Heard>>,
    /// For settings: those of sessions, and those of copies.
    kept: Arc<Allowance>,
    /// What of it sessions have now.
    now: Cell<usize>,
}

impl SessionService {
    /// No sessions. With `single_session` a uid can be bound to one session at a time.
    pub fn new(single_session: bool, kept: Arc<Allowance>) -> Self {
        Self {
            kept,
            now: Cell::new(0),
            single_session,
            no_settings: Arc::default(),
            last_id: Cell::new(0),
            sessions: RefCell::default(),
            by_uid: RefCell::default(),
            audiences: Audiences::default(),
            listeners: RefCell::default(),
        }
    }

    /// The session of a new connection.
    pub fn create(&self, connection: Rc<Connection>) -> Rc<Session> {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let session = Rc::new(Session {
            id,
            connection,
            uid: RefCell::default(),
            settings: RefCell::new(self.no_settings.clone()),
            snapshot: RefCell::default(),
            listeners: RefCell::default(),
        });
        self.sessions.borrow_mut().insert(id, session.clone());
        session
    }

    /// The session with this id.
    pub fn get(&self, sid: u64) -> Option<Rc<Session>> {
        self.sessions.borrow().get(&sid).cloned()
    }

    /// The sessions bound to a uid, in the order in which they were bound. Empty when there is none.
    pub fn by_uid(&self, uid: &str) -> Vec<Rc<Session>> {
        let by_uid = self.by_uid.borrow();
        let Some(bound) = by_uid.get(uid) else {
            return Vec::new();
        };
        std::iter::once(&bound.first)
            .chain(&bound.more)
            .cloned()
            .collect()
    }

    /// Calls `each` with the sessions bound to a uid; false when there is none. For the push path: copies nothing.
    pub(crate) fn for_uid(&self, uid: &str, mut each: impl FnMut(&Session)) -> bool {
        let by_uid = self.by_uid.borrow();
        let Some(bound) = by_uid.get(uid) else {
            return false;
        };
        each(&bound.first);
        bound.more.iter().for_each(|session| each(session));
        true
    }

    /// The connections of a large group, if each of its uids has exactly one. For the push path: asked again for the same
    /// list, it looks nobody up.
    pub(crate) fn audience(&self, uids: &Arc<[Uid]>) -> Option<Rc<Group>> {
        let by_uid = self.by_uid.borrow();
        self.audiences.of(uids, |uid| {
            by_uid
                .get(uid)
                .filter(|bound| bound.more.is_empty())
                .map(|bound| bound.first.connection().clone())
        })
    }

    /// Sessions here, bound or not.
    pub fn count(&self) -> usize {
        self.sessions.borrow().len()
    }

    /// Uids bound here.
    pub fn uid_count(&self) -> usize {
        self.by_uid.borrow().len()
    }

    /// Every session, in the order of the ids.
    pub fn all(&self) -> Vec<Rc<Session>> {
        let mut all: Vec<_> = self.sessions.borrow().values().cloned().collect();
        all.sort_unstable_by_key(|session| session.id);
        all
    }

    /// Every session that has a uid, in the order of the ids.
    pub fn all_binded(&self) -> Vec<Rc<Session>> {
        let mut all = self.all();
        all.retain(|session| session.uid.borrow().is_some());
        all
    }

    /// Binds a session to a uid. Again to the same uid is well.
    ///
    /// # Errors
    /// Unknown session; bound to another uid; with `singleSession`, the uid is bound elsewhere on this frontend.
    pub fn bind(&self, app: &Rc<App>, sid: u64, uid: &Uid) -> Result<(), CallError> {
        let session = self.known(sid)?;
        if let Some(bound) = session.uid() {
            if bound == *uid {
                return Ok(());
            }
            return Err(CallError::failed(format!(
                "session has already bind with {bound}"
            )));
        }
        if self.single_session && self.by_uid.borrow().contains_key(uid) {
            return Err(CallError::failed(format!(
                "singleSession: {uid} is bound to another session already"
            )));
        }
        self.audiences.forget();
        match self.by_uid.borrow_mut().entry(uid.clone()) {
            Entry::Occupied(bound) => bound.into_mut().more.push(session.clone()),
            Entry::Vacant(place) => drop(place.insert(Bound {
                first: session.clone(),
                more: Vec::new(),
            })),
        }
        session.set_uid(Some(uid.clone()));
        self.fire(app, &session, Event::Bind, "");
        Ok(())
    }

    /// Takes the uid away from a session.
    ///
    /// # Errors
    /// Unknown session; not bound to this uid.
    pub fn unbind(&self, app: &Rc<App>, sid: u64, uid: &str) -> Result<(), CallError> {
        let session = self.known(sid)?;
        if session.uid.borrow().as_deref() != Some(uid) {
            return Err(CallError::failed(format!("session {sid} is not bound to {uid}")));
        }
        self.forget_uid(&session, uid);
        session.set_uid(None);
        self.fire(app, &session, Event::Unbind, "");
        Ok(())
    }

    /// Writes one setting.
    ///
    /// # Errors
    /// Unknown session; the server's handlers keep too much.
    pub fn import(&self, sid: u64, key: &str, value: Value) -> Result<(), CallError> {
        self.write(sid, |settings| {
            Settings::change(settings, &self.kept, key, Some(value))
        })
    }

    /// Writes several settings.
    ///
    /// # Errors
    /// Unknown session; the server's handlers keep too much.
    pub fn import_all(&self, sid: u64, values: &Settings) -> Result<(), CallError> {
        self.write(sid, |settings| Settings::change_all(settings, &self.kept, values))
    }

    fn write(
        &self,
        sid: u64,
        change: impl FnOnce(&mut Arc<Settings>) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        let session = self.known(sid)?;
        session.snapshot.take();
        let mut settings = session.settings.borrow_mut();
        let before = settings.bytes();
        let written = change(&mut settings);
        self.now.set(self.now.get() - before + settings.bytes());
        written
    }

    /// Whose part the settings of a session's copy are.
    pub(super) fn allowance(&self) -> &Arc<Allowance> {
        &self.kept
    }

    /// What settings take that are not those of a session now: somebody has them in hand.
    pub(crate) fn lost(&self) -> usize {
        self.kept.used().saturating_sub(self.now.get())
    }

    /// Closes every session of a uid, with the kick package. Nobody there is well.
    pub fn kick(&self, app: &Rc<App>, uid: &str, reason: Option<&str>) {
        for session in self.by_uid(uid) {
            session
                .connection
                .close(app, CloseReason::Kicked, Some(reason.unwrap_or("kick")));
        }
    }

    /// Closes one session, with the kick package. Nobody there is well.
    pub fn kick_by_session_id(&self, app: &Rc<App>, sid: u64, reason: Option<&str>) {
        if let Some(session) = self.get(sid) {
            session
                .connection
                .close(app, CloseReason::Kicked, Some(reason.unwrap_or("kick")));
        }
    }

    /// Where the client connects from.
    pub fn client_address(&self, sid: u64) -> Option<SocketAddr> {
        self.get(sid).map(|session| session.connection.peer())
    }

    /// Hears this event of every session of the frontend, from now on, or from when the handlers that load begin to serve.
    ///
    /// # Errors
    /// The server's handlers keep too much.
    pub fn on(&self, app: &Rc<App>, event: Event, listener: Listener) -> Result<(), CallError> {
        let heard = Heard::new(app, event, listener)?;
        app.install(move |app| app.sessions.listeners.borrow_mut().push(heard));
        Ok(())
    }

    pub(crate) fn clear_listeners(&self) {
        self.listeners.take();
    }

    /// Hears this event of one session. If it is closed already, `Closed` is heard at once: who registers after an
    /// await must not miss it.
    ///
    /// # Errors
    /// The server's handlers keep too much.
    pub fn on_session(
        &self,
        app: &Rc<App>,
        view: &Rc<BackendSession>,
        event: Event,
        listener: Listener,
    ) -> Result<(), CallError> {
        match self.get(view.id()) {
            Some(session) => {
                let heard = Heard::new(app, event, listener)?;
                let mut listeners = session.listeners.borrow_mut();
                // Most have one, for which a list would make room for four.
                if listeners.is_empty() {
                    listeners.reserve_exact(1);
                }
                listeners.push(heard);
            }
            None if event == Event::Closed => listener.call(app, view.clone(), "closed"),
            None => {}
        }
        Ok(())
    }

    /// Does to sessions what another server, or a handler here, asked for.
    ///
    /// # Errors
    /// As the functions above.
    pub fn apply(
        &self,
        app: &Rc<App>,
        target: &SessionTarget,
        op: &SessionOp,
    ) -> Result<Vec<Arc<Snapshot>>, CallError> {
        let sessions = match target {
            SessionTarget::Sid(sid) => self.get(*sid).into_iter().collect(),
            SessionTarget::Uid(uid) => self.by_uid(uid),
        };
        if let SessionOp::Get = op {
            return Ok(sessions
                .iter()
                .map(|session| session.snapshot(app.id()))
                .collect());
        }
        if let (true, SessionTarget::Sid(sid)) = (sessions.is_empty(), target) {
            return match op {
                SessionOp::Kick(_) => Ok(Vec::new()),
                _ => Err(unknown(*sid)),
            };
        }
        for session in sessions {
            match op {
                SessionOp::Get => {}
                SessionOp::Bind(uid) => self.bind(app, session.id, uid)?,
                SessionOp::Unbind(uid) => self.unbind(app, session.id, uid)?,
                SessionOp::Push(key, value) => self.import(session.id, key, value.clone())?,
                SessionOp::PushAll(values) => self.import_all(session.id, values)?,
                SessionOp::Kick(reason) => self.kick_by_session_id(app, session.id, reason.as_deref()),
            }
        }
        Ok(Vec::new())
    }

    /// The connection is closing: the session is gone from here on, and its listeners hear why.
    pub(crate) fn remove(&self, app: &Rc<App>, sid: u64, reason: &str) {
        let Some(session) = self.sessions.borrow_mut().remove(&sid) else {
            return;
        };
        self.now.set(self.now.get() - session.settings.borrow().bytes());
        if let Some(uid) = session.uid() {
            self.forget_uid(&session, &uid);
        }
        self.fire(app, &session, Event::Closed, reason);
        // Listeners may hold what holds the session.
        session.listeners.take();
    }

    fn forget_uid(&self, session: &Rc<Session>, uid: &str) {
        self.audiences.forget();
        let mut by_uid = self.by_uid.borrow_mut();
        let Some(bound) = by_uid.get_mut(uid) else { return };
        if !Rc::ptr_eq(&bound.first, session) {
            bound.more.retain(|other| !Rc::ptr_eq(other, session));
        } else if bound.more.is_empty() {
            by_uid.remove(uid);
        } else {
            bound.first = bound.more.remove(0);
        }
    }

    fn fire(&self, app: &Rc<App>, session: &Rc<Session>, event: Event, reason: &str) {
        let of_event = |heard: &Heard| (heard.event == event).then(|| heard.listener.clone());
        let mut listeners: Vec<_> = session.listeners.borrow().iter().filter_map(of_event).collect();
        listeners.extend(self.listeners.borrow().iter().filter_map(of_event));
        if listeners.is_empty() {
            return;
        }
        let view = BackendSession::new(&session.snapshot(app.id()));
        for listener in listeners {
            listener.call(app, view.clone(), reason);
        }
    }

    fn known(&self, sid: u64) -> Result<Rc<Session>, CallError> {
        self.get(sid).ok_or_else(|| unknown(sid))
    }
}

fn unknown(sid: u64) -> CallError {
    CallError::failed(format!("session does not exist, sid: {sid}"))
}
