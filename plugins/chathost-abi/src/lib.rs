//! What a chathost server and a native plugin say to each other.
//!
//! A plugin is a shared library that exports one symbol, [`ENTRY`], a constant [`Plugin`]: a table of functions. Every
//! server of the type that the plugin serves creates an *instance* of it and hands it a table of functions in turn, the
//! [`Host`]. All that travels is bytes: texts are UTF-8, values are JSON. Nothing here has any logic; the host's side is
//! `chathost-native`, the convenient side for plugins in Rust is `chathost-plugin`, and `include/chathost.h` is this file
//! for everybody else. `plugins/README.md` shows how to write one.
//!
//! # Threads
//! A server is one thread, which other servers may share, with instances of their own: what is an instance's belongs into
//! its state, not into thread-locals. `[server-thread]` functions are called on it only: by the host always, by the plugin
//! while the host is calling it. `[any-thread]` functions may be called from wherever the plugin likes, at any time, also
//! after the instance was destroyed; then they do nothing. A function of the host that is called on the wrong thread refuses.
//!
//! Both sides call each other back: binding a session calls its listeners before `ask` returns. Hold no lock across a call.
//!
//! A plugin must not block the server's thread: everybody on the server waits for it. What takes long belongs on a
//! thread of the plugin's own, which answers with [`Host::complete`] or comes back with [`Host::wake`].
//!
//! # Who owns what
//! Whoever allocates frees. Bytes belong to the caller and are valid until the call returns: who needs them longer copies
//! them. A handle of a session belongs to whoever it was given to. The host's table is valid for as long as the process
//! lives, the plugin's too: a library is never closed.
//!
//! # Versions
//! Every table begins with a [`Header`]. The version says what the fields mean; both sides must have the same. New fields
//! are added at the end and tell of themselves by the size; whatever is optional is an extension ([`Plugin::extension`])
//! or a name of [`Host::ask`].

#![no_std]
#![allow(
    unsafe_code,
    reason = "one `Sync`: the constant that a library exports is shared by all servers"
)]

use core::ffi::c_void;

/// The version of this interface. A library with another one is refused.
pub const ABI_VERSION: u32 = 1;

/// The symbol that a plugin exports, a constant [`Plugin`].
pub const ENTRY: &str = "chathost_plugin_entry";

/// The name of the extension [`StateExtension`].
pub const EXTENSION_STATE: &str = "chathost.state/1";

/// The name of the extension [`SelftestExtension`].
pub const EXTENSION_SELFTEST: &str = "chathost.selftest/1";

/// Answer codes. Others are up to the plugin: `404`, …
pub const OK: i64 = 0;
/// A call between servers failed, or the host refused.
pub const CODE_FAILED: i64 = 500;
/// There is no such server, session, function or name.
pub const CODE_NOT_FOUND: i64 = 404;
/// The arguments cannot be understood.
pub const CODE_BAD_REQUEST: i64 = 400;
/// The instance is being destroyed; nothing more comes.
pub const CODE_GONE: i64 = 410;

/// First in every table: what it is, and how much of it there is.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// [`ABI_VERSION`].
    pub abi_version: u32,
    /// Bytes of the whole structure, header included.
    pub size: u32,
}

/// Bytes that somebody else owns. Valid until the call that they are an argument of returns.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    /// The first one. May be null if there are none.
    pub data: *const u8,
    /// How many.
    pub len: usize,
}

/// What is done with a result: the host calls `call(context, code, result)`.
///
/// Exactly once, on the server's thread: either before the function that took it returns, or later, but at the latest
/// before the instance is destroyed, then with `CODE_GONE`. With the code 0 the result is JSON (or empty where there is
/// nothing to say), with any other a sentence about what went wrong. A null `call` means that nobody wants to know.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// Handed to `call` as it is.
    pub context: *mut c_void,
    /// `[server-thread]`
    pub call: Option<unsafe extern "C" fn(context: *mut c_void, code: i64, result: Bytes)>,
}

/// What can be declared, and what a call of it brings and wants. Bodies and answers are JSON.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `chatHandler.send` answers clients. Body: the message, as the client sent it. Answer: the response, or nothing for
    /// `{}`.
    Handler = 1,
    /// `chatRemote.add` answers other servers. Body: an array of arguments. Answer: an array of results.
    Remote = 2,
    /// `onUserLeave`, a name to hear events of sessions with (`session.on`). Body: the reason, a string. No answer.
    Listener = 3,
    /// In front of every message of a client, on its frontend. Body: the message; `route` is its route. Answer: nothing
    /// to let it pass, `{"msg": …}` to let it pass changed, `{"reply": …}` to answer it; an error ends it. The name is
    /// for the log. Several run in the order of declaration.
    GlobalBefore = 4,
    /// Behind every answer to a client. Body: `{"msg": …, "reply": …}`. No answer. Several run in reverse.
    GlobalAfter = 5,
    /// Decides who may connect. Body: `[type, version]`. Answer: `true` or `false`.
    CheckClient = 6,
    /// Sees every handshake. Body: `[message, address]`. Answer: what becomes `user` in the response, or nothing; an error
    /// refuses the client.
    Handshake = 7,
    /// Named after a server type, chooses the server that a call to this type goes to. Session: the session on whose
    /// behalf the call is made; without one, body: the value to choose by. Answer: a server's id, a string, before the
    /// call returns.
    Route = 8,
}

/// Requests of one session to this handler may run beside each other, in any order.
pub const FLAG_CONCURRENT: u32 = 1;

/// Levels of the log.
pub const LEVEL_DEBUG: u32 = 0;
/// What happened.
pub const LEVEL_INFO: u32 = 1;
/// Somebody misbehaved.
pub const LEVEL_WARN: u32 = 2;
/// The operator should look.
pub const LEVEL_ERROR: u32 = 3;

/// A call of something that the plugin declared. The structure and what it points to are valid until [`Plugin::call`]
/// returns.
#[repr(C)]
#[derive(Debug)]
pub struct Call {
    /// What it is.
    pub header: Header,
    /// The number to answer with ([`Host::complete`]).
    pub id: u64,
    /// The number that the plugin declared it with.
    pub method: u32,
    /// 1 if nobody waits for the answer. It has to be completed all the same.
    pub notify: u32,
    /// A session, or 0. The handle is valid until the call is completed; [`Host::session_hold`] gives one that lasts.
    pub session: u64,
    /// The route, as the client wrote it; empty where there is none.
    pub route: Bytes,
    /// JSON, see [`Kind`]. A client's message may be something else: the client wrote it.
    pub body: Bytes,
}

/// What is pushed to clients, and to whom: exactly one of `channel`, `users` and `broadcast` is given.
#[repr(C)]
#[derive(Debug)]
pub struct Push {
    /// What it is.
    pub header: Header,
    /// `onChat`. 1 to 255 bytes.
    pub route: Bytes,
    /// JSON. Sent as it is.
    pub body: Bytes,
    /// To everybody in this channel.
    pub channel: Bytes,
    /// To these: a JSON array of `{"uid": …, "sid": …}`, where `sid` is the id of the frontend.
    pub users: Bytes,
    /// To every session of the frontends of this type.
    pub broadcast: Bytes,
    /// Not to these: a JSON array of uids, or nothing. Not for `broadcast`.
    pub exclude: Bytes,
    /// `PUSH_…`
    pub flags: u32,
}

/// The result tells who was not reached: it waits until every frontend has said so. Not for `broadcast`.
pub const PUSH_ACKNOWLEDGED: u32 = 1;
/// With `broadcast`: only to sessions that are bound to a uid.
pub const PUSH_BINDED: u32 = 2;

/// A call of another server's remote.
#[repr(C)]
#[derive(Debug)]
pub struct Rpc {
    /// What it is.
    pub header: Header,
    /// `chat`.
    pub server_type: Bytes,
    /// `chatRemote.add`.
    pub method: Bytes,
    /// A JSON array.
    pub args: Bytes,
    /// The server's id; nothing if it is to be chosen by what follows.
    pub server_id: Bytes,
    /// The session on whose behalf the call is made, or 0.
    pub session: u64,
    /// Without a session, a JSON value to choose by.
    pub param: Bytes,
}

/// What a server offers to an instance. Made by the host, read by the plugin.
#[repr(C)]
#[derive(Debug)]
pub struct Host {
    /// What it is.
    pub header: Header,

    /// Declares something that can be called, with the number that [`Call::method`] will have. Only while
    /// [`Plugin::create`] runs. What is wrong with it keeps the plugin from being loaded, with a line that says why.
    /// `kind`: a [`Kind`]. `flags`: `FLAG_…`. `[server-thread]`
    pub declare: unsafe extern "C" fn(host: *const Self, kind: u32, name: Bytes, flags: u32, method: u32),

    /// Answers a call, once. With the code 0 the answer is JSON. A positive code is an error that is meant for whoever
    /// asked, and the answer its message: a client gets `{"code":…,"message":…}`. A negative one is an error that
    /// nobody meant: -500 is logged with the message, and a client gets `{"code":500}`. A call that is not answered in
    /// time gets a 504. Answering again, or too late, does nothing. Returns 0, or 1 if the server has too much to do:
    /// then the answer was not taken; try again. `[any-thread]`
    pub complete: unsafe extern "C" fn(host: *const Self, call: u64, code: i64, answer: Bytes) -> u32,

    /// Has [`Plugin::wake`] called with this token, soon. That is how a thread of the plugin's comes back to the server.
    /// Returns as `complete` does. `[any-thread]`
    pub wake: unsafe extern "C" fn(host: *const Self, token: u64) -> u32,

    /// Writes a line to the server's log. `level`: `LEVEL_…`. `[any-thread]`
    pub log: unsafe extern "C" fn(host: *const Self, level: u32, text: Bytes),

    /// Everything else that a server can do, by name; `args` is a JSON array. `session` is for the names that say so, else
    /// 0. The names are listed in `plugins/README.md`; they are Pomelo's, as Lua handlers know them. An unknown name
    /// is `CODE_NOT_FOUND`. `[server-thread]`
    pub ask: unsafe extern "C" fn(host: *const Self, session: u64, name: Bytes, args: Bytes, done: Done),

    /// Pushes to clients. Whatever is pushed before a call is completed reaches a client before the answer does. Done
    /// before it returns, with no result; with `PUSH_ACKNOWLEDGED` when all frontends have answered, with an array of the
    /// uids that were not reached, or nothing if there are none. `[server-thread]`
    pub push: unsafe extern "C" fn(host: *const Self, push: *const Push, done: Done),

    /// Calls another server. The result is an array of results; without `done` it is not waited for. `[server-thread]`
    pub rpc: unsafe extern "C" fn(host: *const Self, rpc: *const Rpc, done: Done),

    /// Calls [`Plugin::wake`] with this token after so many milliseconds; with `repeat` not 0 again and again. A timer
    /// that is set while the plugin is created begins when it serves. One that repeats ends when another generation takes
    /// over; one that does not may fire still. Returns a handle, or 0 if there are too many. `[server-thread]`
    pub timer: unsafe extern "C" fn(host: *const Self, milliseconds: u64, repeat: u32, token: u64) -> u64,

    /// Ends a timer. One that has ended already is well. `[server-thread]`
    pub cancel: unsafe extern "C" fn(host: *const Self, timer: u64),

    /// Whom a session is bound to: plain text; empty if it is not. Done before it returns. `[server-thread]`
    pub session_uid: unsafe extern "C" fn(host: *const Self, session: u64, done: Done),

    /// A setting of a session; empty if there is none. Done before it returns. `[server-thread]`
    pub session_get: unsafe extern "C" fn(host: *const Self, session: u64, key: Bytes, done: Done),

    /// Changes a setting of this copy of the session; an empty value removes it. `session.push` makes it last.
    /// `[server-thread]`
    pub session_set: unsafe extern "C" fn(host: *const Self, session: u64, key: Bytes, value: Bytes),

    /// Another handle of a session, which is valid until it is released; 0 if there is no such session.
    /// `[server-thread]`
    pub session_hold: unsafe extern "C" fn(host: *const Self, session: u64) -> u64,

    /// Gives back a handle that `session_hold` or a result of `ask` gave. `[server-thread]`
    pub session_release: unsafe extern "C" fn(host: *const Self, session: u64),
}

/// What a plugin is. A constant that the library exports as `chathost_plugin_entry`.
#[repr(C)]
#[derive(Debug)]
pub struct Plugin {
    /// What it is.
    pub header: Header,

    /// Its name, for people. Ends with a zero byte; may be null.
    pub name: *const core::ffi::c_char,

    /// Makes an instance, for one server, and declares what it answers. Returns what the other functions get as
    /// `instance`; null refuses, and `refused` then was called with a sentence that says why. It runs again for every
    /// server and every swap, in a server that may never begin to serve. `[server-thread]`
    pub create: Option<unsafe extern "C" fn(host: *const Host, refused: Done) -> *mut c_void>,

    /// Ends an instance, once. Nothing of it is called afterwards. `[server-thread]`
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,

    /// Calls something that was declared. The answer is given with [`Host::complete`], before this returns or later.
    /// `[server-thread]`
    pub call: Option<unsafe extern "C" fn(instance: *mut c_void, call: *const Call)>,

    /// [`Host::wake`] was called with this token, or a timer's time has come. May be null if neither is used.
    /// `[server-thread]`
    pub wake: Option<unsafe extern "C" fn(instance: *mut c_void, token: u64)>,

    /// A table of functions that the plugin may have, by name; null if it does not. The table is valid as long as the
    /// instance. May be null itself. `[server-thread]`
    pub extension: Option<unsafe extern "C" fn(instance: *mut c_void, name: Bytes) -> *const c_void>,
}

// SAFETY: a constant: its functions and its name are those of a library that is never closed.
unsafe impl Sync for Plugin {}

/// The extension `chathost.state/1`: hands a value from one generation to the next.
#[repr(C)]
#[derive(Debug)]
pub struct StateExtension {
    /// What it is.
    pub header: Header,
    /// What the next generation should know: JSON, or nothing. `done` is called before it returns. `[server-thread]`
    pub export_state: unsafe extern "C" fn(instance: *mut c_void, done: Done),
    /// Takes what the generation before exported, Lua or native. An error keeps this one from serving. `done` is called
    /// before it returns. `[server-thread]`
    pub import_state: unsafe extern "C" fn(instance: *mut c_void, state: Bytes, done: Done),
}

/// The extension `chathost.selftest/1`: a last word before it serves.
#[repr(C)]
#[derive(Debug)]
pub struct SelftestExtension {
    /// What it is.
    pub header: Header,
    /// An error keeps the instance from serving. `done` is called before it returns. `[server-thread]`
    pub selftest: unsafe extern "C" fn(instance: *mut c_void, done: Done),
}
