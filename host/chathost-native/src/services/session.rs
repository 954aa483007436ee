//! `session`, `sessionService` and `backendSessionService`: the session of a call, those of this frontend, and those of
//! any. A session in a result is `{"handle": …, "id": …, "frontendId": …, "uid": …}`, and the handle is the plugin's to
//! release.

use super::{Answer, Args, Told, bad, json, nothing};
use crate::instance::Instance;
use chathost_abi::CODE_NOT_FOUND;
use chathost_core::{
    envelope::{SessionOp, SessionTarget},
    error::CallError,
    handler::{Event, Listener},
    session::{BackendSession, Session, Snapshot, backend_service},
};
use serde_json::{Value, json as object};
use std::{rc::Rc, sync::Arc};

/// `session.…`: what goes through to the session on its frontend.
pub(super) fn own(instance: &Rc<Instance>, handle: u64, function: &str, args: &Args<'_>) -> Option<Answer> {
    let Some(session) = instance.session(handle) else {
        let error = CallError::new(CODE_NOT_FOUND, "there is no such session handle");
        return Some(Answer::Now(Err(error)));
    };
    let app = instance.app.clone();
    Some(match function {
        "export" => Answer::Now(json(exported(&session))),
        "on" => Answer::Now(on(instance, &session, args)),
        "bind" => later(args.uid(0), async move |uid| session.bind(&app, uid).await),
        "unbind" => {
            let uid = args.uid(0).or_else(|error| session.uid().ok_or(error));
            later(uid, async move |uid| session.unbind(&app, uid).await)
        }
        "push" => later(args.text(0).map(str::to_owned), async move |key: String| {
            session.push(&app, &key).await
        }),
        "pushAll" => later(Ok(()), async move |()| session.push_all(&app).await),
        _ => return None,
    })
}

/// `sessionService.…`: the sessions of this frontend. On a backend there are none.
pub(super) fn here(instance: &Rc<Instance>, function: &str, args: &Args<'_>) -> Option<Told> {
    let (app, sessions) = (&instance.app, &instance.app.sessions);
    let found = |found: &[Rc<Session>]| {
        let views = found
            .iter()
            .map(|session| view(instance, &session.snapshot(app.id())));
        json(views.collect::<Vec<_>>())
    };
    Some(match function {
        "get" => args.number(0).and_then(|sid| match sessions.get(sid) {
            Some(session) => json(view(instance, &session.snapshot(app.id()))),
            None => nothing(),
        }),
        "getByUid" => args.uid(0).and_then(|uid| found(&sessions.by_uid(&uid))),
        "getAll" => found(&sessions.all()),
        "getAllBinded" => found(&sessions.all_binded()),
        "getSessionsCount" => json(sessions.count()),
        "getUidsCount" => json(sessions.uid_count()),
        "getClientAddressBySessionId" => args.number(0).and_then(|sid| match sessions.client_address(sid) {
            Some(address) => {
                json(object!({ "ip": address.ip().to_canonical().to_string(), "port": address.port() }))
            }
            None => nothing(),
        }),
        "bind" => args
            .number(0)
            .and_then(|sid| done(sessions.bind(app, sid, &args.uid(1)?))),
        "unbind" => args
            .number(0)
            .and_then(|sid| done(sessions.unbind(app, sid, &args.uid(1)?))),
        "import" => args
            .number(0)
            .and_then(|sid| done(sessions.import(sid, args.text(1)?, args.value(2)))),
        "importAll" => args
            .number(0)
            .and_then(|sid| done(sessions.import_all(sid, &args.settings(1)?))),
        "kick" => args.uid(0).and_then(|uid| {
            sessions.kick(app, &uid, args.optional(1));
            nothing()
        }),
        "kickBySessionId" => args.number(0).and_then(|sid| {
            sessions.kick_by_session_id(app, sid, args.optional(1));
            nothing()
        }),
        "on" => {
            listener(instance, args).and_then(|(event, listener)| done(sessions.on(app, event, listener)))
        }
        _ => return None,
    })
}

/// `backendSessionService.…`: sessions of the frontend that is named first.
pub(super) fn anywhere(instance: &Rc<Instance>, function: &str, args: &Args<'_>) -> Option<Answer> {
    let by_sid = || args.number(1).map(SessionTarget::Sid);
    let by_uid = || args.uid(1).map(SessionTarget::Uid);
    let reason = || args.optional(2).map(str::to_owned);
    let wish = match function {
        "get" => by_sid().map(|target| (target, SessionOp::Get)),
        "getByUid" => by_uid().map(|target| (target, SessionOp::Get)),
        "kickBySid" => by_sid().map(|target| (target, SessionOp::Kick(reason()))),
        "kickByUid" => by_uid().map(|target| (target, SessionOp::Kick(reason()))),
        "bind" => by_sid().and_then(|target| Ok((target, SessionOp::Bind(args.uid(2)?)))),
        "unbind" => by_sid().and_then(|target| Ok((target, SessionOp::Unbind(args.uid(2)?)))),
        "push" => {
            by_sid().and_then(|target| Ok((target, SessionOp::Push(args.text(2)?.to_owned(), args.value(3)))))
        }
        "pushAll" => {
            by_sid().and_then(|target| Ok((target, SessionOp::PushAll(Arc::new(args.settings(2)?)))))
        }
        _ => return None,
    };
    let wish = wish.and_then(|(target, op)| Ok((args.server(0)?, target, op)));
    let (frontend, target, op) = match wish {
        Ok(wish) => wish,
        Err(error) => return Some(Answer::Now(Err(error))),
    };
    let (weak, app, one) = (Rc::downgrade(instance), instance.app.clone(), function == "get");
    let asks = matches!(op, SessionOp::Get);
    Some(Answer::Later(Box::pin(async move {
        let found = backend_service::ask(&app, &frontend, target, op).await?;
        let Some(instance) = weak.upgrade().filter(|_| asks) else {
            return nothing();
        };
        let mut views = found.iter().map(|snapshot| view(&instance, snapshot));
        match (one, views.len()) {
            (true, 0) => nothing(),
            (true, _) => json(views.next()),
            _ => json(views.collect::<Vec<_>>()),
        }
    })))
}

/// A session in a result: with a handle that the plugin releases.
fn view(instance: &Instance, snapshot: &Snapshot) -> Value {
    let handle = instance.give(BackendSession::new(snapshot));
    object!({
        "handle": handle,
        "id": snapshot.id,
        "frontendId": &*snapshot.frontend_id,
        "uid": snapshot.uid.as_deref(),
    })
}

fn exported(session: &BackendSession) -> Value {
    let session = session.export();
    object!({
        "id": session.id,
        "frontendId": &*session.frontend_id,
        "uid": session.uid.as_deref(),
        "settings": session.settings.to_json(),
    })
}

fn on(instance: &Rc<Instance>, session: &Rc<BackendSession>, args: &Args<'_>) -> Told {
    if session.frontend_id() != instance.app.id() {
        return Err(bad(format!(
            "session.on works on the server the client is connected to, {}",
            session.frontend_id()
        )));
    }
    let (event, listener) = listener(instance, args)?;
    instance
        .app
        .sessions
        .on_session(&instance.app, session, event, listener)?;
    nothing()
}

/// An event, and the name of who hears it: it is looked up when it fires, in the generation of that moment.
fn listener(instance: &Instance, args: &Args<'_>) -> Result<(Event, Listener), CallError> {
    let (event, function) = (args.text(0)?, args.text(1)?);
    let event = Event::from_name(event)
        .ok_or_else(|| bad(format!("there is no event {event}: bind, unbind or closed")))?;
    let listener = Listener::Named {
        // A Lua file of this type has the same name: a listener outlives a swap between the two.
        module: instance.app.server_type().into(),
        function: function.into(),
    };
    Ok((event, listener))
}

fn done(outcome: Result<(), CallError>) -> Told {
    outcome.map(|()| Vec::new())
}

fn later<T: 'static, F>(arg: Result<T, CallError>, wish: impl FnOnce(T) -> F + 'static) -> Answer
where
    F: Future<Output = Result<(), CallError>> + 'static,
{
    match arg {
        Ok(arg) => Answer::Later(Box::pin(async move { done(wish(arg).await) })),
        Err(error) => Answer::Now(Err(error)),
    }
}
