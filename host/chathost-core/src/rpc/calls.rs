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
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::Duration,
};
use tokio::{sync::Notify, sync::oneshot, time::Instant};

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
    to: ServerId,
    deadline: Instant,
}

/// What one other server is asked for.
#[derive(Debug, Default)]
struct Load {
    waiting: usize,
    /// Since so many waited that more were refused.
    refused: usize,
}

/// The calls of one server that wait for an answer.
#[derive(Debug)]
pub struct Calls {
    last: Cell<CallId>,
    waiting: RefCell<Map<CallId, Waiting>>,
    per_server: RefCell<Map<ServerId, Load>>,
    timeout: Duration,
    limit: usize,
    busy: Busy,
    /// Something waits again.
    begun: Notify,
}

impl Calls {
    /// Nobody waits.
    pub fn new(settings: &RpcSettings) -> Self {
        Self {
            last: Cell::new(0),
            waiting: RefCell::default(),
            per_server: RefCell::default(),
            timeout: settings.timeout(),
            limit: settings.max_pending,
            busy: Busy::default(),
            begun: Notify::new(),
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
        let waiting_there = self.per_server.borrow().get(to).map_or(0, |load| load.waiting);
        if waiting_there >= self.limit {
            self.refuse(to);
            let error = CallError::new(
                CallError::BUSY,
                format!("{waiting_there} calls wait for server {to}"),
            );
            return waiter.answer(app, Err(error));
        }
        let call = self.last.get() + 1;
        self.last.set(call);
        let deadline = Instant::now() + self.timeout;
        self.per_server
            .borrow_mut()
            .entry(to.clone())
            .or_default()
            .waiting += 1;
        if self.busy.count() == 0 {
            self.begun.notify_one();
        }
        self.busy.begin();
        self.waiting.borrow_mut().insert(
            call,
            Waiting {
                waiter,
                to: to.clone(),
                deadline,
            },
        );
        if let Err(error) = app.post.send(app, to, content(call)) {
            self.end(app, call, Err(error));
        }
    }

    /// Said once, and once more when it is over: there may be thousands.
    fn refuse(&self, to: &ServerId) {
        if let Some(load) = self.per_server.borrow_mut().get_mut(to) {
            if load.refused == 0 {
                tracing::warn!(%to, waiting = load.waiting, "too many calls wait for this server: more are refused");
            }
            load.refused += 1;
        }
    }

    /// An answer came in. One that nobody waits for any more, or that somebody else sends, goes nowhere.
    pub fn answered(&self, app: &Rc<App>, from: &ServerId, call: CallId, answer: Result<Answer, CallError>) {
        let expected = self
            .waiting
            .borrow()
            .get(&call)
            .is_some_and(|waiting| waiting.to == *from);
        if expected {
            self.end(app, call, answer);
        }
    }

    /// A server has ended: whoever waits for it hears so now.
    pub fn gone(&self, app: &Rc<App>, server: &ServerId) {
        let error = CallError::no_target(format!("server {server} is not running"));
        self.end_where(app, &error, |waiting| waiting.to == *server);
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
            self.end(app, call, Err(error.clone()));
        }
    }

    fn end(&self, app: &Rc<App>, call: CallId, answer: Result<Answer, CallError>) {
        let Some(Waiting { waiter, to, .. }) = self.waiting.borrow_mut().remove(&call) else {
            return;
        };
        if let Some(load) = self.per_server.borrow_mut().get_mut(&to) {
            load.waiting -= 1;
            if load.refused > 0 && load.waiting <= self.limit / 2 {
                tracing::warn!(%to, refused = std::mem::take(&mut load.refused), "calls were refused; there is room again");
            }
        }
        self.busy.end();
        waiter.answer(app, answer);
    }
}

/// Ends calls whose time is up, for as long as the server lives.
pub(crate) async fn expire(app: Rc<App>) {
    let calls = &app.calls;
    // Late by an eighth of the timeout at most; nothing to do when nobody waits.
    let step = (calls.timeout / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
    loop {
        if calls.count() == 0 {
            calls.begun.notified().await;
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
