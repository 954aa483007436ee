//! The way out to other servers: one ordered, bounded queue per receiver.
//!
//! What one sender sends reaches one receiver in the order in which it was sent; that is what keeps a push before
//! the response that follows it, and a join before the leave. Nothing here waits: when a receiver's mailbox is full the
//! queue grows to its limit and then refuses, and the refusal is the sender's error.
//!
//! A [`Transport`] says how a receiver is reached. [`Loopback`] is the one inside a process.

use crate::{
    app::App,
    envelope::{Content, Envelope, Load, ServerId},
    error::CallError,
    map::Map,
    remote,
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::mpsc;

/// Messages that may wait for one receiver before sending fails (Pomelo's `pending` limit).
const QUEUE_LIMIT: usize = 10_000;

/// Bytes of messages that may be on the way to one receiver, which has not seen to them, before sending fails.
const BYTES_LIMIT: usize = 256 << 20;

/// From here on what that server asks for is put off, so that what runs can still send.
const CROWDED: usize = QUEUE_LIMIT / 2;

/// So many are handed over before the turn ends.
const MUCH: usize = 1024;

/// Envelopes a mailbox holds before its senders keep their queues to themselves.
const MAILBOX: usize = 64;

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
    fn inbox(&self, server: &str) -> Option<mpsc::Sender<Envelope>>;
}

/// The transport inside one process: the inbox is the receiver's own mailbox.
#[derive(Debug, Default)]
pub struct Loopback {
    // Locked when a link is made and when a server starts, never on the way of a message.
    inboxes: Mutex<Map<ServerId, mpsc::Sender<Envelope>>>,
}

impl Loopback {
    /// Opens the mailbox of a server of this process.
    pub fn open(&self, server: ServerId) -> mpsc::Receiver<Envelope> {
        let (inbox, mailbox) = mpsc::channel(MAILBOX);
        self.inboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(server, inbox);
        mailbox
    }
}

impl Transport for Loopback {
    fn inbox(&self, server: &str) -> Option<mpsc::Sender<Envelope>> {
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
    links: RefCell<Map<ServerId, Rc<Link>>>,
    dirty: RefCell<Vec<Rc<Link>>>,
}

/// The way to one other server, until that ends.
#[derive(Debug)]
struct Link {
    to: ServerId,
    inbox: mpsc::Sender<Envelope>,
    /// Bytes that it was sent and has not seen to.
    on_the_way: Arc<AtomicUsize>,
    queue: RefCell<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    contents: Vec<Content>,
    /// Of the contents.
    bytes: usize,
    /// A task waits for room in the inbox and will send what is queued.
    waiting: bool,
    /// Messages that were refused since the queue became full.
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

    /// Whether a server takes what it gets, and nothing waits that it asked for before.
    pub(crate) fn keeps_up(&self, server: &ServerId) -> bool {
        let links = self.links.borrow();
        links.get(server).is_none_or(|link| {
            let queue = link.queue.borrow();
            !queue.is_crowded() && queue.put_off.is_empty()
        })
    }

    /// Keeps what a server asks for that does not keep up, and no other. As many requests as it may have waiting here at most
    /// (`rpc.maxPending`, which it sees to), and as many notifies.
    pub(crate) fn put_off(&self, from: &ServerId, content: Content) {
        let links = self.links.borrow();
        let Some(link) = links.get(from) else { return };
        let queue = &mut *link.queue.borrow_mut();
        if content.is_notify() {
            if queue.notifies >= QUEUE_LIMIT {
                queue.refused += 1;
                return;
            }
            queue.notifies += 1;
        }
        queue.put_off.push_back(content);
    }

    /// The next of what was put off, unless it has to wait on.
    pub(crate) fn next_put_off(&self, from: &ServerId) -> Option<Content> {
        let links = self.links.borrow();
        let queue = &mut *links.get(from)?.queue.borrow_mut();
        if queue.is_crowded() {
            return None;
        }
        let content = queue.put_off.pop_front()?;
        queue.notifies -= usize::from(content.is_notify());
        Some(content)
    }

    /// Queues a message; it leaves at the end of the turn. To oneself it arrives at once.
    ///
    /// # Errors
    /// `NO_TARGET` when nobody knows the receiver or it has ended, `BUSY` when its queue is at the limit.
    pub fn send(&self, app: &Rc<App>, to: &ServerId, content: Content) -> Result<(), CallError> {
        if to == app.id() {
            remote::receive(app, to, content);
            return Ok(());
        }
        let link = self.link(to)?;
        let queue = &mut *link.queue.borrow_mut();
        let bytes = content.bytes();
        let many = queue.contents.len() >= QUEUE_LIMIT;
        if many || link.has_much(queue, bytes) {
            let much = if many {
                format!("{QUEUE_LIMIT} messages")
            } else {
                format!("{} MiB", BYTES_LIMIT >> 20)
            };
            if queue.refused == 0 {
                tracing::warn!(%to, "{much} wait for this server: what else it should get is lost");
            }
            queue.refused += 1;
            return Err(CallError::new(
                CallError::BUSY,
                format!("{much} wait for server {to}"),
            ));
        }
        queue.bytes += bytes;
        if queue.contents.is_empty() {
            self.dirty.borrow_mut().push(link.clone());
        }
        queue.contents.push(content);
        if queue.contents.len() == MUCH {
            // If its receiver has ended, the end of the turn finds out.
            drop(link.flush(app, queue));
        }
        app.turn.mark();
        Ok(())
    }

    /// The way to a server that runs.
    fn link(&self, to: &ServerId) -> Result<Rc<Link>, CallError> {
        let mut links = self.links.borrow_mut();
        if let Some(link) = links.get(to).filter(|link| !link.inbox.is_closed()) {
            return Ok(link.clone());
        }
        let inbox = self
            .transport
            .inbox(to)
            .filter(|inbox| !inbox.is_closed())
            .ok_or_else(|| CallError::no_target(format!("server {to} is not running")))?;
        let link = Rc::new(Link {
            to: to.clone(),
            inbox,
            on_the_way: Arc::default(),
            queue: RefCell::default(),
        });
        links.insert(to.clone(), link.clone());
        Ok(link)
    }

    /// Hands every receiver what this turn queued for it.
    pub(crate) fn flush(&self, app: &Rc<App>) {
        while let Some(link) = self.next_dirty() {
            let flushed = link.flush(app, &mut link.queue.borrow_mut());
            if flushed.is_err() {
                self.gone(app, &link);
            }
        }
    }

    /// A server has ended. What waited for it goes nowhere, and who waits for its answers hears so; unless it came back in
    /// the meantime.
    fn gone(&self, app: &Rc<App>, link: &Rc<Link>) {
        let mut links = self.links.borrow_mut();
        if links
            .get(&link.to)
            .is_some_and(|current| Rc::ptr_eq(current, link))
        {
            links.remove(&link.to);
            drop(links);
            app.calls.gone(app, &link.to);
        }
    }

    fn next_dirty(&self) -> Option<Rc<Link>> {
        self.dirty.borrow_mut().pop()
    }
}

impl Link {
    /// Whether so many bytes more are too much for it.
    fn has_much(&self, queue: &Queue, bytes: usize) -> bool {
        bytes > 0 && self.on_the_way.load(Ordering::Relaxed) + queue.bytes + bytes > BYTES_LIMIT
    }

    fn flush(self: &Rc<Self>, app: &Rc<App>, queue: &mut Queue) -> Result<(), Gone> {
        if queue.waiting || queue.contents.is_empty() {
            return Ok(());
        }
        let envelope = queue.take(app, &self.on_the_way);
        match self.inbox.try_send(envelope) {
            Ok(()) => {
                queue.say_refused(&self.to);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(envelope)) => {
                queue.put_back(envelope);
                Err(Gone)
            }
            Err(mpsc::error::TrySendError::Full(envelope)) => {
                queue.put_back(envelope);
                queue.waiting = true;
                app.tasks
                    .spawn(send_when_there_is_room(app.clone(), self.clone()));
                Ok(())
            }
        }
    }
}

impl Queue {
    fn is_crowded(&self) -> bool {
        self.waiting && self.contents.len() >= CROWDED
    }

    fn take(&mut self, app: &App, on_the_way: &Arc<AtomicUsize>) -> Envelope {
        Envelope {
            from: app.id().clone(),
            contents: std::mem::take(&mut self.contents),
            load: Load::new(on_the_way, std::mem::take(&mut self.bytes)),
        }
    }

    fn put_back(&mut self, envelope: Envelope) {
        self.contents = envelope.contents;
        self.bytes = envelope.load.bytes;
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

async fn send_when_there_is_room(app: Rc<App>, link: Rc<Link>) {
    let permit = link.inbox.reserve().await;
    let envelope = {
        let queue = &mut *link.queue.borrow_mut();
        queue.waiting = false;
        queue.say_refused(&link.to);
        queue.take(&app, &link.on_the_way)
    };
    match permit {
        Ok(permit) => {
            permit.send(envelope);
            remote::resume(&app, &link.to).await;
        }
        Err(_) => app.post.gone(&app, &link),
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

    /// Large messages to a server that does not look at them: some, and then an error, until it has looked.
    #[test]
    fn not_more_bytes_than_the_limit() {
        const MESSAGE: usize = 16 << 20;
        let transport = Arc::new(Loopback::default());
        let mut mailbox = transport.open("connector-1".into());
        let app = app(transport);
        let to: ServerId = "connector-1".into();
        let args = bytes::Bytes::from(vec![b' '; MESSAGE]);
        let send = |args: &bytes::Bytes| {
            let call = Content::Call {
                call: None,
                method: "chatRemote.add".into(),
                args: args.clone(),
            };
            app.post.send(&app, &to, call)
        };
        for sent in 0..BYTES_LIMIT / MESSAGE {
            send(&args).unwrap();
            // In the mailbox, in the queue, it is the same.
            if sent.is_multiple_of(3) {
                app.post.flush(&app);
            }
        }
        let error = send(&args).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (CallError::BUSY, "256 MiB wait for server connector-1")
        );
        send(&bytes::Bytes::new()).unwrap();
        drop(mailbox.try_recv().unwrap());
        send(&args).unwrap();
        send(&args).unwrap_err();
        app.post.flush(&app);
        while mailbox.try_recv().is_ok() {}
        send(&args).unwrap();
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
            let ask = |call| Content::Forward {
                call: Some(call),
                session: session.clone(),
                route: Route::parse("chat.chatHandler.nosuch").unwrap(),
                body: bytes::Bytes::new(),
            };
            // As many turns as fill the mailbox, and the rest at once.
            for call in 0..REQUESTS {
                remote::receive(&app, &frontend, ask(call));
                if call < 100 {
                    app.post.flush(&app);
                }
            }
            let put_off = app.post.links.borrow()[&frontend].queue.borrow().put_off.len();
            assert!(put_off > 20_000, "{put_off}");
            let mut expected = 0;
            while expected < REQUESTS {
                for content in mailbox.recv().await.unwrap().contents {
                    let Content::Answer { call, answer } = content else {
                        panic!("{content:?}");
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
