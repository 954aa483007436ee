//! The C interface of the server in memory.

use super::world::World;
use crate::host::{bytes, header_of, lend};
use chathost_abi::{Bytes, CODE_NOT_FOUND, Done, Host, Kind, Push, Rpc};
use serde_json::Value;
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::HashMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A host's table, and what is behind it. Never freed, as the real one is not.
#[repr(C)]
pub(super) struct Table {
    /// First: a pointer to it is a pointer to all of this.
    host: Host,
    /// Of the test's thread.
    world: RefCell<World>,
    /// Of any thread.
    outside: Mutex<Outside>,
    changed: Condvar,
}

/// What other threads reach.
#[derive(Default)]
pub(super) struct Outside {
    pub(super) answers: HashMap<u64, (i64, Vec<u8>)>,
    pub(super) woken: Vec<u64>,
    pub(super) log: Vec<String>,
}

impl Table {
    pub(super) fn leak(world: World) -> &'static Self {
        Box::leak(Box::new(Self {
            host: Host {
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
            },
            world: RefCell::new(world),
            outside: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    pub(super) fn host(&'static self) -> *const Host {
        std::ptr::from_ref(self).cast()
    }

    /// The plugin must not be called inside.
    pub(super) fn world<R>(&self, with: impl FnOnce(&mut World) -> R) -> R {
        with(&mut self.world.borrow_mut())
    }

    pub(super) fn outside(&self) -> MutexGuard<'_, Outside> {
        self.outside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until another thread does something; false if none does.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let nothing = |outside: &mut Outside| outside.answers.is_empty() && outside.woken.is_empty();
        let waited = self.changed.wait_timeout_while(self.outside(), patience, nothing);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// # Safety
/// `host` is one that `leak` made.
unsafe fn table(host: *const Host) -> &'static Table {
    // SAFETY: the table is the first field (`repr(C)`) of a `Table` that is never freed.
    unsafe { &*host.cast::<Table>() }
}

/// # Safety
/// The bytes are there for as long as `'a`.
unsafe fn text<'a>(text: Bytes) -> Cow<'a, str> {
    // SAFETY: the caller's promise.
    String::from_utf8_lossy(unsafe { bytes(text) })
}

fn tell(done: Done, code: i64, result: &[u8]) {
    if let Some(call) = done.call {
        // SAFETY: the plugin's own function with its own context, once.
        unsafe { call(done.context, code, lend(result)) };
    }
}

fn told(done: Done, result: crate::Result<Vec<u8>>) {
    match result {
        Ok(result) => tell(done, 0, &result),
        Err(error) => tell(done, error.code(), error.message().as_bytes()),
    }
}

unsafe extern "C" fn declare(host: *const Host, kind: u32, name: Bytes, _flags: u32, method: u32) {
    // SAFETY: the crate's own calls, with the host that it was given and bytes that are there. So it is below.
    let (table, name) = unsafe { (table(host), text(name)) };
    table.world(|world| world.declared.push((kind, name.into_owned(), method)));
}

unsafe extern "C" fn complete(host: *const Host, call: u64, code: i64, answer: Bytes) -> u32 {
    // SAFETY: as in `declare`.
    let (table, answer) = unsafe { (table(host), bytes(answer)) };
    table
        .outside()
        .answers
        .entry(call)
        .or_insert_with(|| (code, answer.to_vec()));
    table.changed.notify_all();
    0
}

unsafe extern "C" fn wake(host: *const Host, token: u64) -> u32 {
    // SAFETY: as in `declare`.
    let table = unsafe { table(host) };
    table.outside().woken.push(token);
    table.changed.notify_all();
    0
}

unsafe extern "C" fn log(host: *const Host, _level: u32, line: Bytes) {
    // SAFETY: as in `declare`.
    let (table, line) = unsafe { (table(host), text(line)) };
    table.outside().log.push(line.into_owned());
}

unsafe extern "C" fn ask(host: *const Host, session: u64, name: Bytes, args: Bytes, done: Done) {
    // SAFETY: as in `declare`.
    let (table, name, args) = unsafe { (table(host), text(name), bytes(args)) };
    let args: Vec<Value> = serde_json::from_slice(args).unwrap_or_default();
    let answer = table.world(|world| world.ask(session, &name, &args));
    told(done, answer);
}

unsafe extern "C" fn push(host: *const Host, push: *const Push, done: Done) {
    // SAFETY: as in `declare`; the structure is there, too.
    let (table, push) = unsafe { (table(host), &*push) };
    // SAFETY: as above.
    let [route, body, channel, users, broadcast, exclude] = unsafe {
        [
            push.route,
            push.body,
            push.channel,
            push.users,
            push.broadcast,
            push.exclude,
        ]
        .map(|part| bytes(part))
    };
    let to = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    let outcome =
        table.world(|world| world.push(&to(route), body, &to(channel), users, &to(broadcast), exclude));
    told(done, outcome.map(|()| Vec::new()));
}

unsafe extern "C" fn rpc(host: *const Host, rpc: *const Rpc, done: Done) {
    // SAFETY: as in `push`.
    let (table, rpc) = unsafe { (table(host), &*rpc) };
    // SAFETY: as above.
    let (server_type, method, args) = unsafe { (text(rpc.server_type), text(rpc.method), bytes(rpc.args)) };
    let args = serde_json::from_slice(args).unwrap_or_default();
    let result = table.world(|world| world.call(&format!("{server_type}.{method}"), &args));
    told(
        done,
        result.map(|value| Value::Array(vec![value]).to_string().into_bytes()),
    );
}

unsafe extern "C" fn timer(host: *const Host, milliseconds: u64, repeat: u32, token: u64) -> u64 {
    // SAFETY: as in `declare`.
    unsafe { table(host) }.world(|world| world.set_timer(milliseconds, repeat != 0, token))
}

unsafe extern "C" fn cancel(host: *const Host, timer: u64) {
    // SAFETY: as in `declare`.
    unsafe { table(host) }.world(|world| world.cancel(timer));
}

unsafe extern "C" fn session_uid(host: *const Host, session: u64, done: Done) {
    // SAFETY: as in `declare`.
    match unsafe { table(host) }.world(|world| world.uid(session)) {
        Some(uid) => tell(done, 0, uid.as_bytes()),
        None => tell(done, CODE_NOT_FOUND, b"there is no such session handle"),
    }
}

unsafe extern "C" fn session_get(host: *const Host, session: u64, key: Bytes, done: Done) {
    // SAFETY: as in `declare`.
    let (table, key) = unsafe { (table(host), text(key)) };
    let value = table.world(|world| Some(world.views.get(&session)?.settings.get(&*key).cloned()));
    match value {
        Some(Some(value)) => tell(done, 0, value.to_string().as_bytes()),
        Some(None) => tell(done, 0, b""),
        None => tell(done, CODE_NOT_FOUND, b"there is no such session handle"),
    }
}

unsafe extern "C" fn session_set(host: *const Host, session: u64, key: Bytes, value: Bytes) {
    // SAFETY: as in `declare`.
    let (table, key, value) = unsafe { (table(host), text(key), bytes(value)) };
    table.world(|world| {
        let Some(view) = world.views.get_mut(&session) else {
            return;
        };
        match serde_json::from_slice(value) {
            Ok(value) => drop(view.settings.insert(key.into_owned(), value)),
            Err(_) => drop(view.settings.remove(&*key)),
        }
    });
}

unsafe extern "C" fn session_hold(host: *const Host, session: u64) -> u64 {
    // SAFETY: as in `declare`.
    unsafe { table(host) }.world(|world| world.hold(session))
}

unsafe extern "C" fn session_release(host: *const Host, session: u64) {
    // SAFETY: as in `declare`.
    unsafe { table(host) }.world(|world| world.release(session));
}

/// A kind by its number.
pub(super) fn is(kind: Kind, number: u32) -> bool {
    kind as u32 == number
}
