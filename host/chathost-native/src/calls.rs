//! Calls of a plugin that were begun, until they are answered: by it, or by their deadline.
//!
//! An answer may come while the plugin is still being called, later, from another thread, twice, or never. A call has a
//! number that is not used again, so an answer that nobody waits for hits nothing.

use crate::{ffi, instance::Instance};
use bytes::Bytes;
use chathost_abi::Call;
use chathost_core::session::BackendSession;
use std::{rc::Rc, time::Duration};
use tokio::{sync::oneshot, time::timeout};

/// What the plugin is asked.
#[derive(Debug, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) method: u32,
    pub(crate) route: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) session: Option<Rc<BackendSession>>,
    pub(crate) notify: bool,
}

/// Why a call has no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The plugin says so, to whoever asked.
    Meant { code: i64, message: String },
    /// The plugin failed, and what it says is for the log.
    Broken { code: i64, message: String },
    /// It took longer than it may.
    Deadline,
    /// It was replaced, and its time is up.
    Ended,
}

/// What the plugin answered.
#[derive(Debug)]
pub(crate) struct Answer {
    code: i64,
    body: Bytes,
}

/// How far a call is.
#[derive(Debug)]
pub(crate) enum Slot {
    Begun,
    Answered(Answer),
    Awaited(oneshot::Sender<Answer>),
}

impl Instance {
    /// Calls the plugin and waits for its answer.
    pub(crate) async fn call(self: &Rc<Self>, asked: Asked<'_>) -> Result<Bytes, Failure> {
        let open = Open::begin(self, asked);
        if let Some(answer) = open.answer() {
            return answer.read();
        }
        // Apart, so that what does not wait stays small.
        Box::pin(self.wait_for(open)).await
    }

    async fn wait_for(&self, open: Open) -> Result<Bytes, Failure> {
        if self.has_ended() {
            return Err(Failure::Ended);
        }
        let answer = open.wait();
        let deadline = Duration::from_secs(self.app.settings.script.deadline_seconds.into());
        match timeout(deadline, answer).await {
            Ok(Ok(answer)) => answer.read(),
            Ok(Err(_)) => Err(Failure::Ended),
            Err(_) => Err(Failure::Deadline),
        }
    }

    /// Calls the plugin, which has to answer before it returns.
    pub(crate) fn call_now(self: &Rc<Self>, asked: Asked<'_>) -> Result<Bytes, Failure> {
        let answer = Open::begin(self, asked).answer();
        answer.map_or(Err(Failure::Deadline), Answer::read)
    }

    /// A call was answered. Who is not waited for any more is not heard.
    pub(crate) fn complete(&self, call: u64, code: i64, body: Bytes) {
        let mut calls = self.calls.borrow_mut();
        let slot = calls.get_mut(call);
        let Some(slot @ (Slot::Begun | Slot::Awaited(_))) = slot else {
            drop(calls);
            return tracing::warn!(
                library = self.library(),
                call,
                "an answer came twice, or too late"
            );
        };
        let answer = Answer { code, body };
        match std::mem::replace(slot, Slot::Begun) {
            Slot::Awaited(waiting) => {
                calls.remove(call);
                drop(calls);
                // Whoever asked may be gone.
                drop(waiting.send(answer));
            }
            _ => *slot = Slot::Answered(answer),
        }
    }
}

impl Answer {
    fn read(self) -> Result<Bytes, Failure> {
        let message = || String::from_utf8_lossy(&self.body).into_owned();
        match self.code {
            0 => Ok(self.body),
            code @ 1.. => Err(Failure::Meant {
                code,
                message: message(),
            }),
            code => Err(Failure::Broken {
                code: code.saturating_neg(),
                message: message(),
            }),
        }
    }
}

/// A call that was begun. Its number, and its handle of the session, end with it.
struct Open {
    instance: Rc<Instance>,
    id: u64,
    session: u64,
}

impl Open {
    fn begin(instance: &Rc<Instance>, asked: Asked<'_>) -> Self {
        let id = instance.calls.borrow_mut().insert(Slot::Begun);
        let session = asked.session.map_or(0, |session| instance.give(session));
        let open = Self {
            instance: instance.clone(),
            id,
            session,
        };
        instance.enter(&Call {
            header: ffi::header_of::<Call>(),
            id,
            method: asked.method,
            notify: u32::from(asked.notify),
            session,
            route: ffi::lend(asked.route.as_bytes()),
            body: ffi::lend(asked.body),
        });
        open
    }

    /// The answer, if it is there.
    fn answer(&self) -> Option<Answer> {
        let mut calls = self.instance.calls.borrow_mut();
        if !matches!(calls.get(self.id), Some(Slot::Answered(_))) {
            return None;
        }
        match calls.remove(self.id) {
            Some(Slot::Answered(answer)) => Some(answer),
            _ => None,
        }
    }

    /// The answer, when it comes.
    fn wait(&self) -> oneshot::Receiver<Answer> {
        let (awaited, answer) = oneshot::channel();
        if let Some(slot) = self.instance.calls.borrow_mut().get_mut(self.id) {
            *slot = Slot::Awaited(awaited);
        }
        answer
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let slot = self.instance.calls.borrow_mut().remove(self.id);
        drop(slot);
        self.instance.release(self.session);
    }
}
