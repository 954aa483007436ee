//! The edge itself: what a plugin hands over, read; and the table of functions that a plugin is handed.
//!
//! Each function turns pointers into what the rest of the crate works with, and does nothing else. Those for the
//! server's thread find their instance among those of this thread, and find none on any other: a plugin that calls from
//! the wrong thread is refused, not trusted.

use crate::{
    instance::{Instance, finish},
    mailbox::{Message, Shared},
};
use chathost_abi::{
    ABI_VERSION, Bytes, CODE_BAD_REQUEST, CODE_FAILED, CODE_GONE, CODE_NOT_FOUND, Done, Header, Host, Push,
    Rpc,
};
use std::{borrow::Cow, cell::Cell, rc::Rc};

/// The functions that every instance gets.
pub(crate) fn host_table() -> Host {
    Host {
        header: header_of::<Host>(),
        declare,
        complete,
        wake,
        log,
        ask,
        push,
        rpc,
        timer,
        cancel,
        session_uid,
        session_get,
        session_set,
        session_hold,
        session_release,
    }
}

/// The header of a table that this host makes.
pub(crate) fn header_of<T>() -> Header {
    Header {
        abi_version: ABI_VERSION,
        size: u32::try_from(size_of::<T>()).unwrap_or(u32::MAX),
    }
}

/// The header of a table that somebody else made; none if there cannot be one.
///
/// # Safety
/// If it is aligned and not null, there are at least the bytes of a header.
pub(crate) unsafe fn header<T>(table: *const T) -> Option<Header> {
    if table.is_null() || !table.is_aligned() {
        return None;
    }
    // SAFETY: a header is first in every table; aligned, not null, and there: the caller's promise.
    Some(unsafe { *table.cast::<Header>() })
}

/// A table of this version, and all of it.
///
/// # Safety
/// As [`header`]; and what its header says of it is true, for as long as `'a`.
pub(crate) unsafe fn table<'a, T>(table: *const T) -> Option<&'a T> {
    // SAFETY: the caller's promise.
    let header = unsafe { header(table) }?;
    let fits = header.abi_version == ABI_VERSION && header.size as usize >= size_of::<T>();
    // SAFETY: aligned, not null, of this version and large enough.
    fits.then(|| unsafe { &*table })
}

/// # Safety
/// The bytes are there for as long as `'a`.
pub(crate) unsafe fn bytes<'a>(bytes: Bytes) -> &'a [u8] {
    if bytes.data.is_null() || bytes.len == 0 {
        return &[];
    }
    // SAFETY: not null; that they are there is the caller's promise, by the contract of `Bytes`.
    unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) }
}

/// Text; what is not UTF-8 in it becomes U+FFFD.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn text<'a>(text: Bytes) -> Cow<'a, str> {
    // SAFETY: the caller's promise.
    utf8(unsafe { bytes(text) })
}

/// Text; what is not UTF-8 in it becomes U+FFFD. What is well, which is nearly all, takes the short way.
pub(crate) fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Bytes to hand over; they stay ours.
pub(crate) fn lend(bytes: &[u8]) -> Bytes {
    Bytes {
        data: bytes.as_ptr(),
        len: bytes.len(),
    }
}

/// # Safety
/// `host` is null, or one that [`Shared::leak`] made.
unsafe fn shared<'a>(host: *const Host) -> Option<&'a Shared> {
    // SAFETY: the table is the first field of a `Shared` (`repr(C)`), which is never freed.
    unsafe { host.cast::<Shared>().as_ref() }
}

/// The instance, if this is its server's thread and it is not destroyed.
///
/// # Safety
/// As [`shared`].
unsafe fn here(host: *const Host, function: &str) -> Option<Rc<Instance>> {
    // SAFETY: the caller's promise.
    let shared = unsafe { shared(host) }?;
    let instance = Instance::here(shared.key());
    // What is being destroyed gives back what it holds: that is well, and does nothing.
    if instance.is_none() && shared.is_open() {
        let library = shared.library();
        tracing::error!(%library, function, "a plugin calls the host on a wrong thread");
    }
    instance
}

thread_local! {
    /// For values that are written and read within one call.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

const WRONG_THREAD: &str = "the host was called on a wrong thread, or after the instance was destroyed";

unsafe extern "C" fn declare(host: *const Host, kind: u32, name: Bytes, flags: u32, method: u32) {
    // SAFETY: a plugin hands back the host that it was handed, and bytes that are there during the call.
    let (instance, name) = unsafe { (here(host, "declare"), text(name)) };
    if let Some(instance) = instance {
        instance.declare(kind, &name, flags, method);
    }
}

unsafe extern "C" fn complete(host: *const Host, call: u64, code: i64, answer: Bytes) -> u32 {
    // SAFETY: as in `declare`.
    let (shared, answer) = unsafe { (shared(host), bytes(answer)) };
    let Some(shared) = shared else { return 0 };
    let body = bytes::Bytes::copy_from_slice(answer);
    match Instance::here(shared.key()) {
        Some(instance) => {
            instance.complete(call, code, body);
            0
        }
        None => shared.send(Message::Complete { call, code, body }),
    }
}

unsafe extern "C" fn wake(host: *const Host, token: u64) -> u32 {
    // SAFETY: as in `declare`.
    match unsafe { shared(host) } {
        Some(shared) => shared.send(Message::Wake(token)),
        None => 0,
    }
}

unsafe extern "C" fn log(host: *const Host, level: u32, line: Bytes) {
    // SAFETY: as in `declare`.
    let (shared, line) = unsafe { (shared(host), text(line)) };
    if let Some(shared) = shared {
        shared.log(level, &line);
    }
}

unsafe extern "C" fn ask(host: *const Host, session: u64, name: Bytes, args: Bytes, done: Done) {
    // SAFETY: as in `declare`.
    let (instance, name, args) = unsafe { (here(host, "ask"), text(name), bytes(args)) };
    match instance {
        Some(instance) => instance.ask(session, &name, args, done),
        None => finish(done, CODE_GONE, WRONG_THREAD.as_bytes()),
    }
}

unsafe extern "C" fn push(host: *const Host, push: *const Push, done: Done) {
    // SAFETY: as in `declare`; the structure is there during the call, with all that it points to.
    let (instance, push) = unsafe { (here(host, "push"), table(push)) };
    match (instance, push) {
        (Some(instance), Some(push)) => instance.push(push, done),
        (Some(_), None) => finish(done, CODE_BAD_REQUEST, b"a push of another version"),
        (None, _) => finish(done, CODE_GONE, WRONG_THREAD.as_bytes()),
    }
}

unsafe extern "C" fn rpc(host: *const Host, rpc: *const Rpc, done: Done) {
    // SAFETY: as in `push`.
    let (instance, rpc) = unsafe { (here(host, "rpc"), table(rpc)) };
    match (instance, rpc) {
        (Some(instance), Some(rpc)) => instance.rpc(rpc, done),
        (Some(_), None) => finish(done, CODE_BAD_REQUEST, b"an rpc of another version"),
        (None, _) => finish(done, CODE_GONE, WRONG_THREAD.as_bytes()),
    }
}

unsafe extern "C" fn timer(host: *const Host, milliseconds: u64, repeat: u32, token: u64) -> u64 {
    // SAFETY: as in `declare`.
    let instance = unsafe { here(host, "timer") };
    instance.map_or(0, |instance| instance.timer(milliseconds, repeat != 0, token))
}

unsafe extern "C" fn cancel(host: *const Host, timer: u64) {
    // SAFETY: as in `declare`.
    if let Some(instance) = unsafe { here(host, "cancel") } {
        instance.cancel(timer);
    }
}

unsafe extern "C" fn session_uid(host: *const Host, session: u64, done: Done) {
    // SAFETY: as in `declare`.
    let session = unsafe { here(host, "session_uid") }.and_then(|instance| instance.session(session));
    match session {
        Some(session) => finish(done, 0, session.uid().as_deref().unwrap_or_default().as_bytes()),
        None => finish(done, CODE_NOT_FOUND, b"there is no such session handle"),
    }
}

unsafe extern "C" fn session_get(host: *const Host, session: u64, key: Bytes, done: Done) {
    // SAFETY: as in `declare`.
    let (instance, key) = unsafe { (here(host, "session_get"), text(key)) };
    let Some(session) = instance.and_then(|instance| instance.session(session)) else {
        return finish(done, CODE_NOT_FOUND, b"there is no such session handle");
    };
    // Written inside, called outside: the plugin may change the session.
    let mut json = SCRATCH.take();
    json.clear();
    let written = session.with(&key, |value| {
        value.map(|value| serde_json::to_writer(&mut json, value))
    });
    match written {
        None => finish(done, 0, b""),
        Some(Ok(())) => finish(done, 0, &json),
        Some(Err(error)) => finish(done, CODE_FAILED, error.to_string().as_bytes()),
    }
    SCRATCH.set(json);
}

unsafe extern "C" fn session_set(host: *const Host, session: u64, key: Bytes, value: Bytes) {
    // SAFETY: as in `declare`.
    let (instance, key, value) = unsafe { (here(host, "session_set"), text(key), bytes(value)) };
    if let Some(instance) = instance {
        instance.session_set(session, &key, value);
    }
}

unsafe extern "C" fn session_hold(host: *const Host, session: u64) -> u64 {
    // SAFETY: as in `declare`.
    let instance = unsafe { here(host, "session_hold") };
    instance.map_or(0, |instance| {
        let session = instance.session(session);
        session.map_or(0, |session| instance.give(session))
    })
}

unsafe extern "C" fn session_release(host: *const Host, session: u64) {
    // SAFETY: as in `declare`.
    if let Some(instance) = unsafe { here(host, "session_release") } {
        instance.release(session);
    }
}
