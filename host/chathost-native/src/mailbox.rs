//! What any thread may do: answer a call, wake the plugin, write to the log.
//!
//! A [`Shared`] is what the host's table points into. It is never freed, because a thread of a plugin's may keep the
//! table for ever; when its instance is destroyed, all that is left of it is a name and a closed mailbox. Two hundred
//! bytes for each server and generation.

use crate::{ffi, instance::Instance};
use bytes::Bytes;
use chathost_abi::{Host, LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN};
use std::{
    fmt,
    rc::Weak,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::mpsc;

/// Messages that wait for a server. One more is not taken, and its sender is told so.
const LIMIT: usize = 65_536;

/// Longer lines are cut.
const LINE: usize = 4096;

/// What another thread sent.
#[derive(Debug)]
pub(crate) enum Message {
    /// The answer to a call.
    Complete { call: u64, code: i64, body: Bytes },
    /// Call `wake` with this token.
    Wake(u64),
}

/// What is known of an instance on every thread.
#[repr(C)]
pub(crate) struct Shared {
    /// First: the plugin's pointer to it is a pointer to all of this.
    table: Host,
    key: u64,
    library: Box<str>,
    mailbox: Mutex<Option<mpsc::Sender<Message>>>,
}

impl Shared {
    /// For an instance to come. `library`: its file and generation.
    pub(crate) fn leak(library: &str) -> (&'static Self, mpsc::Receiver<Message>) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let (sender, receiver) = mpsc::channel(LIMIT);
        let shared = Self {
            table: ffi::host_table(),
            key: LAST.fetch_add(1, Relaxed) + 1,
            library: library.into(),
            mailbox: Mutex::new(Some(sender)),
        };
        (Box::leak(Box::new(shared)), receiver)
    }

    /// What the plugin gets. It is the whole `Shared` that the pointer is made of.
    pub(crate) fn host(&'static self) -> *const Host {
        std::ptr::from_ref(self).cast()
    }

    /// Different for every instance of this process.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// `plugins/libchat.so 3-79dc2d75`.
    pub(crate) fn library(&self) -> &str {
        &self.library
    }

    /// Returns 1 if there is no room. After the end there is nobody to tell, and that is well.
    pub(crate) fn send(&self, message: Message) -> u32 {
        let mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        match mailbox.as_ref().map(|mailbox| mailbox.try_send(message)) {
            Some(Err(mpsc::error::TrySendError::Full(_))) => 1,
            Some(_) => 0,
            None => {
                tracing::debug!(library = %self.library, "a thread of a plugin that was replaced is still at work");
                0
            }
        }
    }

    /// Whether the instance is still there.
    pub(crate) fn is_open(&self) -> bool {
        self.mailbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// The instance is destroyed.
    pub(crate) fn close(&self) {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn log(&self, level: u32, line: &str) {
        let fits = |end: &usize| line.is_char_boundary(*end);
        let end = (0..=line.len().min(LINE)).rev().find(fits).unwrap_or_default();
        let (library, line) = (&*self.library, &line[..end]);
        match level {
            LEVEL_DEBUG => tracing::debug!(target: "plugin", library, "{line}"),
            LEVEL_INFO => tracing::info!(target: "plugin", library, "{line}"),
            LEVEL_WARN => tracing::warn!(target: "plugin", library, "{line}"),
            _ => tracing::error!(target: "plugin", library, "{line}"),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.library).finish()
    }
}

/// Does what other threads sent, for as long as the instance lives.
pub(crate) async fn run(instance: Weak<Instance>, mut mailbox: mpsc::Receiver<Message>) {
    while let Some(message) = mailbox.recv().await {
        let Some(instance) = instance.upgrade() else {
            return;
        };
        match message {
            Message::Complete { call, code, body } => instance.complete(call, code, body),
            Message::Wake(token) => instance.wake(token),
        }
    }
}
