//! Calls that wait for an answer.
//!
//! Each has a number, a waiter and a deadline. The number of calls that wait for one server is bounded; one more is
//! answered with an error at once. Whatever happens to the receiver, [`Calls::gone`] and [`expire`] see to it that no
//! caller is lost.

use crate::{
    app::App,
    busy::Busy,
    config::RpcSettings,
    dispatch::Incoming,
    envelope::{Answer, CallId, Content, ServerId},
    error::{CallError, Reply},
    map::Map,
    post::not_sent,
    wake::Wake,
};
use std::{
    cell::{Cell, RefCell},
    collections::hash_map::Entry,
    fmt,
    rc::Rc,
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// Who gets the answer.
pub enum Waiter {
    /// A task on this server.
    Task(oneshot::Sender<Result<Answer, CallError>>),
    /// A client whose message was forwarded.
    Client(Incoming),
}

#[derive(Debug)]
struct Waiting {
    waiter: Waiter,
    asked: Rc<Asked>,
    deadline: Instant,
}

/// A server that was asked for something.
#[derive(Debug)]
struct Asked {
    id: ServerId,
    /// Calls that wait for it.
    waiting: Cell<usize>,
    /// Since so many waited that more were refused.
    refused: Cell<usize>,
}

/// The calls of one server that wait for an answer.
#[derive(Debug)]
pub struct Calls {
    last: Cell<CallId>,
    waiting: RefCell<Map<CallId, Waiting>>,
    servers: RefCell<Map<ServerId, Rc<Asked>>>,
    timeout: Duration,
    limit: usize,
    busy: Busy,
    /// Something waits again.
    begun: Wake,
}

impl Calls {
    /// Nobody waits.
    pub fn new(settings: &RpcSettings) -> Self {
        Self {
            last: Cell::new(0),
            waiting: RefCell::default(),
            servers: RefCell::default(),
            timeout: settings.timeout(),
            limit: settings.max_pending,
            busy: Busy::default(),
            begun: Wake::default(),
        }
    }

    /// Makes a call. What keeps it from leaving is its answer, too.
    pub fn begin(
        &self,
        app: &Rc<App>,
        to: &ServerId,
        waiter: Waiter,
        content: impl FnOnce(CallId) -> Content,
    ) {
        let Some(asked) = self.asked(app, to) else {
            let error = CallError::no_target(format!("there is no server {to}"));
            return waiter.answer(app, Err(error));
        };
        let waiting_there = asked.waiting.get();
        if waiting_there >= self.limit {
            asked.refuse();
            let error = CallError::new(
                CallError::BUSY,
                format!("{waiting_there} calls wait for server {to}"),
            );
            return waiter.answer(app, Err(error));
        }
        asked.waiting.set(waiting_there + 1);
        let call = self.last.get() + 1;
        self.last.set(call);
        if self.busy.count() == 0 {
            self.begun.wake();
        }
        self.busy.begin();
        self.waiting.borrow_mut().insert(
            call,
            Waiting {
                waiter,
                asked,
                deadline: Instant::now() + self.timeout,
            },
        );
        if let Err(error) = app.post.send(app, to, content(call)) {
            self.end(app, call, |_| true, Err(error));
        }
    }

    /// `None`: the cluster has no such server. Scripts can name any, so nothing is kept of it.
    fn asked(&self, app: &App, to: &ServerId) -> Option<Rc<Asked>> {
        let mut servers = self.servers.borrow_mut();
        if let Some(asked) = servers.get(to) {
            return Some(asked.clone());
        }
        app.cluster.server(to)?;
        let asked = Rc::new(Asked {
            id: to.clone(),
            waiting: Cell::new(0),
            refused: Cell::new(0),
        });
        servers.insert(to.clone(), asked.clone());
        Some(asked)
    }

    /// An answer came in. One that nobody waits for any more, or that somebody else sends, goes nowhere.
    pub fn answered(&self, app: &Rc<App>, from: &ServerId, call: CallId, answer: Result<Answer, CallError>) {
        self.end(app, call, |waiting| waiting.asked.id == *from, answer);
    }

    /// A server has ended: whoever waits for it hears so now.
    pub fn gone(&self, app: &Rc<App>, server: &ServerId) {
        let error = CallError::no_target(format!("server {server} is not running"));
        self.end_where(app, &error, |waiting| waiting.asked.id == *server);
    }

    /// Calls that wait now.
    pub fn count(&self) -> usize {
        self.busy.count()
    }

    /// Resolves when none waits.
    pub(crate) async fn drained(&self) {
        self.busy.drained().await;
    }

    fn end_where(&self, app: &Rc<App>, error: &CallError, ends: impl Fn(&Waiting) -> bool) {
        let ended: Vec<CallId> = self
            .waiting
            .borrow()
            .iter()
            .filter(|(_, waiting)| ends(waiting))
            .map(|(call, _)| *call)
            .collect();
        for call in ended {
            self.end(app, call, |_| true, Err(error.clone()));
        }
    }

    fn end(
        &self,
        app: &Rc<App>,
        call: CallId,
        ends: impl FnOnce(&Waiting) -> bool,
        answer: Result<Answer, CallError>,
    ) {
        let ended = match self.waiting.borrow_mut().entry(call) {
            Entry::Occupied(waiting) if ends(waiting.get()) => waiting.remove(),
            _ => return,
        };
        ended.asked.end(self.limit);
        self.busy.end();
        ended.waiter.answer(app, answer);
    }
}

impl Asked {
    /// Said once, and once more when it is over: there may be thousands.
    fn refuse(&self) {
        let refused = self.refused.get();
        if refused == 0 {
            tracing::warn!(to = %self.id, waiting = self.waiting.get(), "too many calls wait for this server: more are refused");
        }
        self.refused.set(refused + 1);
    }

    fn end(&self, limit: usize) {
        let waiting = self.waiting.get() - 1;
        self.waiting.set(waiting);
        if self.refused.get() > 0 && waiting <= limit / 2 {
            tracing::warn!(to = %self.id, refused = self.refused.take(), "calls were refused; there is room again");
        }
    }
}

/// Ends calls whose time is up, for as long as the server lives.
pub(crate) async fn expire(app: Rc<App>) {
    let calls = &app.calls;
    // Late by an eighth of the timeout at most; nothing to do when nobody waits.
    let step = (calls.timeout / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
    loop {
        if calls.count() == 0 {
            calls.begun.called().await;
        }
        tokio::time::sleep(step).await;
        let now = Instant::now();
        let error = CallError::new(
            CallError::TIMEOUT,
            format!("no answer within {} s", calls.timeout.as_secs_f64()),
        );
        calls.end_where(&app, &error, |waiting| waiting.deadline <= now);
    }
}

impl Waiter {
    fn answer(self, app: &Rc<App>, answer: Result<Answer, CallError>) {
        match self {
            // Whoever asked may have been ended in the meantime; then nobody wants to know.
            Self::Task(task) => drop(task.send(answer)),
            Self::Client(incoming) => {
                let reply = match answer {
                    Ok(Answer::Reply(reply)) => reply,
                    Ok(_) => Reply::unhandled(),
                    Err(error) => {
                        let sid = incoming.session.id;
                        not_sent!(error, "a forwarded message was not answered", route = %incoming.route, sid);
                        Reply::from_call_error(&error)
                    }
                };
                incoming.answer(app, reply);
            }
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(_) => f.write_str("Task"),
            Self::Client(incoming) => incoming.fmt(f),
        }
    }
}
