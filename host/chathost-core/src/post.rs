//! The way out to other servers: one ordered, bounded queue per receiver.
//!
//! Envelopes of one sender reach one receiver in the order in which they were sent; that is what keeps a push before
//! the response that follows it, and a join before the leave. Nothing here waits: when a receiver's mailbox is full the
//! queue grows to its limit and then refuses, and the refusal is the sender's error.
//!
//! A [`Transport`] says how a receiver is reached. [`Loopback`] is the one inside a process.

use crate::{
    app::App,
    envelope::{Batch, Content, Envelope, ServerId},
    error::CallError,
    map::Map,
    remote,
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc;

/// Envelopes that may wait for one receiver before sending fails (Pomelo's `pending` limit).
const QUEUE_LIMIT: usize = 10_000;

/// From here on what that server asks for is put off, so that what runs can still send.
const CROWDED: usize = QUEUE_LIMIT / 2;

/// So many are handed over before the turn ends.
const MUCH: usize = 1024;

/// Batches a mailbox holds before its senders keep their queues to themselves.
const MAILBOX_BATCHES: usize = 64;

/// Logs what became of something that did not leave. Where too much waits there are thousands of it, and the post has said
/// so.
macro_rules! not_sent {
    ($error:expr, $what:literal, $($field:tt)*) => {
        if $error.code == $crate::error::CallError::BUSY {
            tracing::debug!($($field)*, error = %$error, $what);
        } else {
            tracing::warn!($($field)*, error = %$error, $what);
        }
    };
}
pub(crate) use not_sent;

/// How a server is reached: every transport hands out bounded inboxes, whatever stands behind them.
pub trait Transport: Send + Sync + fmt::Debug {
    /// The inbox of a server, or `None` if nobody knows it.
    fn inbox(&self, server: &str) -> Option<mpsc::Sender<Batch>>;
}

/// The transport inside one process: the inbox is the receiver's own mailbox.
#[derive(Debug, Default)]
pub struct Loopback {
    // Locked when a link is made and when a server starts, never on the way of a message.
    inboxes: Mutex<Map<ServerId, mpsc::Sender<Batch>>>,
}

impl Loopback {
    /// Opens the mailbox of a server of this process.
    pub fn open(&self, server: ServerId) -> mpsc::Receiver<Batch> {
        let (inbox, mailbox) = mpsc::channel(MAILBOX_BATCHES);
        self.inboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(server, inbox);
        mailbox
    }
}

impl Transport for Loopback {
    fn inbox(&self, server: &str) -> Option<mpsc::Sender<Batch>> {
        self.inboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(server)
            .cloned()
    }
}

/// The outgoing queues of one server.
#[derive(Debug)]
pub struct Post {
    transport: Arc<dyn Transport>,
    links: RefCell<Map<ServerId, Link>>,
    dirty: RefCell<Vec<ServerId>>,
}

#[derive(Debug)]
struct Link {
    inbox: mpsc::Sender<Batch>,
    queue: Batch,
    /// A task waits for room in the inbox and will send what is queued.
    waiting: bool,
    /// Envelopes that were refused since the queue became full.
    refused: usize,
    /// What it asked for since it does not keep up.
    put_off: VecDeque<Content>,
    /// How much of that wants no answer.
    notifies: usize,
}

impl Post {
    /// Queues towards whatever `transport` reaches.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            links: RefCell::default(),
            dirty: RefCell::default(),
        }
    }

    /// Keeps what a server asks for, as long as it takes less than it gets. As many requests as it may have waiting here
    /// at most (`rpc.maxPending`, which it sees to), and as many notifies.
    pub(crate) fn put_off(&self, envelope: Envelope) -> Option<Envelope> {
        let mut links = self.links.borrow_mut();
        let Some(link) = links
            .get_mut(&envelope.from)
            .filter(|link| link.is_crowded() || !link.put_off.is_empty())
        else {
            return Some(envelope);
        };
        if envelope.content.is_notify() {
            if link.notifies >= QUEUE_LIMIT {
                link.refused += 1;
                return None;
            }
            link.notifies += 1;
        }
        link.put_off.push_back(envelope.content);
        None
    }

    /// The next of what was put off, unless it has to wait on.
    pub(crate) fn next_put_off(&self, from: &ServerId) -> Option<Content> {
        let mut links = self.links.borrow_mut();
        let link = links.get_mut(from).filter(|link| !link.is_crowded())?;
        let content = link.put_off.pop_front()?;
        link.notifies -= usize::from(content.is_notify());
        Some(content)
    }

    /// Queues an envelope; it leaves at the end of the turn. To oneself it arrives at once.
    ///
    /// # Errors
    /// `NO_TARGET` when nobody knows the receiver or it has ended, `BUSY` when its queue is at the limit.
    pub fn send(&self, app: &Rc<App>, to: &ServerId, content: Content) -> Result<(), CallError> {
        let envelope = Envelope {
            from: app.id().clone(),
            content,
        };
        if to == app.id() {
            remote::receive(app, envelope);
            return Ok(());
        }
        let mut links = self.links.borrow_mut();
        if links.get(to).is_none_or(|link| link.inbox.is_closed()) {
            let inbox = self
                .transport
                .inbox(to)
                .filter(|inbox| !inbox.is_closed())
                .ok_or_else(|| CallError::no_target(format!("server {to} is not running")))?;
            links.insert(
                to.clone(),
                Link {
                    inbox,
                    queue: Batch::new(),
                    waiting: false,
                    refused: 0,
                    put_off: VecDeque::new(),
                    notifies: 0,
                },
            );
        }
        let Some(link) = links.get_mut(to) else {
            return Err(CallError::no_target(format!("server {to} is not running")));
        };
        if link.queue.len() >= QUEUE_LIMIT {
            if link.refused == 0 {
                tracing::warn!(%to, "{QUEUE_LIMIT} messages wait for this server: what else it should get is lost");
            }
            link.refused += 1;
            return Err(CallError::new(
                CallError::BUSY,
                format!("{QUEUE_LIMIT} messages wait for server {to}"),
            ));
        }
        if link.queue.is_empty() {
            self.dirty.borrow_mut().push(to.clone());
        }
        link.queue.push(envelope);
        if link.queue.len() == MUCH {
            // If its receiver has ended, the end of the turn finds out.
            drop(link.flush(app, to));
        }
        app.turn.mark();
        Ok(())
    }

    /// Hands every receiver what this turn queued for it.
    pub(crate) fn flush(&self, app: &Rc<App>) {
        for to in self.dirty.take() {
            if self.flush_link(app, &to).is_err() {
                app.calls.gone(app, &to);
            }
        }
    }

    fn flush_link(&self, app: &Rc<App>, to: &ServerId) -> Result<(), Gone> {
        let mut links = self.links.borrow_mut();
        links.get_mut(to).map_or(Ok(()), |link| link.flush(app, to))
    }
}

impl Link {
    fn is_crowded(&self) -> bool {
        self.waiting && self.queue.len() >= CROWDED
    }

    fn flush(&mut self, app: &Rc<App>, to: &ServerId) -> Result<(), Gone> {
        if self.waiting || self.queue.is_empty() {
            return Ok(());
        }
        match self.inbox.try_send(std::mem::take(&mut self.queue)) {
            Ok(()) => {
                self.say_refused(to);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(batch)) => {
                self.queue = batch;
                Err(Gone)
            }
            Err(mpsc::error::TrySendError::Full(batch)) => {
                self.queue = batch;
                self.waiting = true;
                let (to, inbox) = (to.clone(), self.inbox.clone());
                tokio::task::spawn_local(send_when_there_is_room(app.clone(), to, inbox));
                Ok(())
            }
        }
    }

    /// There is room again.
    fn say_refused(&mut self, to: &ServerId) {
        let refused = std::mem::take(&mut self.refused);
        if refused > 0 {
            tracing::warn!(%to, refused, "messages for this server, or notifies from it, were lost");
        }
    }
}

/// The receiver has ended.
struct Gone;

async fn send_when_there_is_room(app: Rc<App>, to: ServerId, inbox: mpsc::Sender<Batch>) {
    let permit = inbox.reserve().await;
    let batch = {
        let mut links = app.post.links.borrow_mut();
        // Another one, if the server ended and came back in the meantime.
        let link = links.get_mut(&to).filter(|link| link.inbox.same_channel(&inbox));
        let Some(link) = link else { return };
        link.waiting = false;
        link.say_refused(&to);
        std::mem::take(&mut link.queue)
    };
    match permit {
        Ok(permit) => {
            permit.send(batch);
            remote::resume(&app, &to).await;
        }
        Err(_) => app.calls.gone(&app, &to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{self, LoadOptions},
        envelope::Answer,
        route::Route,
        session::Snapshot,
        turn,
    };
    use serde_json::json;

    fn app(transport: Arc<dyn Transport>) -> Rc<App> {
        let dir = tempfile::tempdir().unwrap();
        let servers_file = dir.path().join("servers.json");
        let chat = json!({ "id": "chat-1", "host": "127.0.0.1", "port": 6050 });
        let connector = json!({ "id": "connector-1", "host": "127.0.0.1", "port": 4050, "clientPort": 0, "frontend": true });
        let servers = json!({ "development": { "chat": [chat], "connector": [connector] } });
        std::fs::write(&servers_file, servers.to_string()).unwrap();
        let cluster = config::load(&LoadOptions {
            servers_file,
            base: dir.path().into(),
            env: "development".into(),
        });
        let cluster = Arc::new(cluster.unwrap());
        let info = cluster.server("chat-1").unwrap().clone();
        App::new(info, cluster, transport, Arc::default())
    }

    /// Its answers have no place to go: its requests wait, and none of them and none of the answers is lost.
    #[test]
    fn a_server_that_does_not_keep_up() {
        const REQUESTS: u64 = 30_000;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(Default::default())
            .unwrap();
        runtime.block_on(async {
            let transport = Arc::new(Loopback::default());
            let mut mailbox = transport.open("connector-1".into());
            let app = app(transport);
            let turns = tokio::task::spawn_local(turn::run(app.clone()));
            let frontend: ServerId = "connector-1".into();
            let session = Arc::new(Snapshot {
                id: 1,
                frontend_id: frontend.clone(),
                uid: None,
                settings: Arc::default(),
            });
            let ask = |call| Envelope {
                from: frontend.clone(),
                content: Content::Forward {
                    call: Some(call),
                    session: session.clone(),
                    route: Route::parse("chat.chatHandler.nosuch").unwrap(),
                    body: bytes::Bytes::new(),
                },
            };
            // As many turns as fill the mailbox, and the rest at once.
            for call in 0..REQUESTS {
                remote::receive(&app, ask(call));
                if call < 100 {
                    app.post.flush(&app);
                }
            }
            let put_off = app.post.links.borrow()[&frontend].put_off.len();
            assert!(put_off > 20_000, "{put_off}");
            let mut expected = 0;
            while expected < REQUESTS {
                for envelope in mailbox.recv().await.unwrap() {
                    let Content::Answer { call, answer } = envelope.content else {
                        panic!("{envelope:?}");
                    };
                    assert!(matches!(answer, Ok(Answer::Reply(_))), "{answer:?}");
                    assert_eq!(call, expected);
                    expected += 1;
                }
            }
            turns.abort();
        });
    }
}
