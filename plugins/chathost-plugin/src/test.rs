//! A server in memory, for the unit tests of a plugin.
//!
//! It speaks the same C interface as the real one, so what is tested is what runs. Time stands still until everybody
//! waits for it: then it jumps to the next timer. Other servers' remotes are what the test says ([`Host::on_rpc`]).

mod asked;
mod table;
mod world;

use crate::{
    error::{Error, Result},
    export,
    host::{HostRef, bytes, header_of, lend},
    plugin::Plugin,
};
use chathost_abi::{Call, Done, EXTENSION_STATE, Kind, StateExtension};
use serde_json::Value;
use std::{
    ffi::c_void,
    fmt,
    time::{Duration, Instant},
};
use table::Table;
use world::World;

/// How long a handler may keep a thread of its own busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server in memory, and a plugin that it has loaded.
pub struct Host {
    table: &'static Table,
    instance: *mut c_void,
}

/// A session of a client that exists in a test only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub sid: u64,
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    /// `onChat`.
    pub route: String,
    /// The message.
    pub body: Value,
    /// The uids that it was for; a broadcast is for the type of the frontends, `*connector`.
    pub to: Vec<String>,
}

impl Host {
    /// A server of this type that has loaded the plugin.
    ///
    /// # Panics
    /// It refused to be loaded.
    pub fn new(server_type: &str, setup: impl FnOnce(&mut Plugin) -> Result<()>) -> Self {
        match Self::load(server_type, setup) {
            Ok(host) => host,
            #[allow(clippy::panic, reason = "this is for tests")]
            Err(error) => panic!("the plugin refuses to be loaded: {error}"),
        }
    }

    /// A server of this type that has loaded the plugin.
    ///
    /// # Errors
    /// Why it refused.
    pub fn load(server_type: &str, setup: impl FnOnce(&mut Plugin) -> Result<()>) -> Result<Self> {
        let table = Table::leak(World::new(server_type));
        let instance = create(table, setup)?;
        Ok(Self { table, instance })
    }

    /// Puts another generation in the place of this one; sessions, channels and values stay. State is handed over.
    ///
    /// # Errors
    /// Why the new one refused; the old one stays.
    pub fn swap(&mut self, setup: impl FnOnce(&mut Plugin) -> Result<()>) -> Result<()> {
        let state = self.state(|table, instance, done| {
            // SAFETY: the extension of an instance that is there.
            unsafe { (table.export_state)(instance, done) }
        })?;
        let declared = self.table.world(|world| std::mem::take(&mut world.declared));
        let new = match create(self.table, setup) {
            Ok(new) => new,
            Err(error) => {
                self.table.world(|world| world.declared = declared);
                return Err(error);
            }
        };
        let old = std::mem::replace(&mut self.instance, new);
        // SAFETY: created by `create`, and replaced.
        unsafe { export::destroy(old) };
        match state {
            Some(state) if !state.is_empty() => self
                .state(|table, instance, done| {
                    // SAFETY: as above; the state is there during the call.
                    unsafe { (table.import_state)(instance, lend(&state), done) }
                })
                .map(drop),
            _ => Ok(()),
        }
    }

    /// A client that is bound to a uid, on this frontend; with an empty uid it is bound to none.
    pub fn session(&self, uid: &str, frontend_id: &str) -> Client {
        let sid = self.table.world(|world| world.connect(uid, frontend_id));
        Client { sid }
    }

    /// Writes a setting of a session.
    pub fn set(&self, client: &Client, key: &str, value: impl Into<Value>) {
        self.table
            .world(|world| world.write(client.sid, key, value.into()));
    }

    /// A setting of a session, as its frontend has it.
    pub fn setting(&self, client: &Client, key: &str) -> Value {
        self.table.world(|world| world.setting(client.sid, key))
    }

    /// A client asks. Returns the response, JSON.
    ///
    /// # Errors
    /// What the client or the log is told.
    pub fn request(&self, name: &str, client: &Client, body: &str) -> Result<String> {
        let route = self.table.world(|world| format!("{}.{name}", world.server_type));
        self.call(Kind::Handler, name, &route, client.sid, body)
            .map(|reply| if reply.is_empty() { "{}".to_owned() } else { reply })
    }

    /// Another server calls, with a JSON array. Returns an array of results.
    ///
    /// # Errors
    /// What the other server or the log is told.
    pub fn remote(&self, name: &str, args: &str) -> Result<String> {
        self.call(Kind::Remote, name, "", 0, args)
    }

    /// A client goes: its listeners hear it.
    pub fn close(&self, client: &Client, reason: &str) {
        let listeners = self.table.world(|world| world.close(client.sid));
        for name in listeners {
            let heard = self.call(
                Kind::Listener,
                &name,
                "",
                client.sid,
                &Value::from(reason).to_string(),
            );
            if let Err(error) = heard {
                self.table.outside().log.push(format!("{name}: {error}"));
            }
        }
    }

    /// Answers calls of another server's remote: `chat.chatRemote.add`. The function gets the arguments, an array.
    pub fn on_rpc(&self, method: &str, answer: impl Fn(&Value) -> Result<Value> + 'static) {
        self.table
            .world(|world| drop(world.remotes.insert(method.to_owned(), Box::new(answer))));
    }

    /// What was pushed since the last time.
    pub fn pushed(&self) -> Vec<Pushed> {
        self.table.world(|world| std::mem::take(&mut world.pushed))
    }

    /// The uids in a channel, in the order of joining.
    pub fn members(&self, channel: &str) -> Vec<String> {
        self.table.world(|world| world.members(channel))
    }

    /// Puts a user into a channel.
    pub fn add(&self, channel: &str, uid: &str, frontend_id: &str) {
        self.table.world(|world| world.add(channel, uid, frontend_id));
    }

    /// What is kept under a name: `app.set`.
    pub fn value(&self, key: &str) -> Value {
        self.table
            .world(|world| world.values.get(key).cloned().unwrap_or_default())
    }

    /// What was written to the log.
    pub fn log(&self) -> Vec<String> {
        self.table.outside().log.clone()
    }

    /// Lets time pass: timers fire.
    pub fn advance(&self, time: Duration) {
        let until = self.table.world(|world| world.now + time);
        while let Some(token) = self.table.world(|world| world.fire(Some(until))) {
            self.wake(token);
            self.run();
        }
        self.table.world(|world| world.now = until);
    }

    fn call(&self, kind: Kind, name: &str, route: &str, sid: u64, body: &str) -> Result<String> {
        let method = self.table.world(|world| world.method(kind, name));
        let method = method.ok_or_else(|| Error::new(404, format!("the plugin does not declare {name}")))?;
        let (id, session) = self.table.world(|world| (world.number(), world.view(sid)));
        let call = Call {
            header: header_of::<Call>(),
            id,
            method,
            notify: 0,
            session,
            route: lend(route.as_bytes()),
            body: lend(body.as_bytes()),
        };
        // SAFETY: an instance that is there, and a call that is.
        unsafe { export::call(self.instance, &call) };
        let (code, answer) = self.answer(id)?;
        self.table.world(|world| world.release(session));
        let text = String::from_utf8_lossy(&answer).into_owned();
        match code {
            0 => Ok(text),
            code @ 1.. => Err(Error::new(code, text)),
            code => Err(Error::host(-code, text)),
        }
    }

    /// Lets everything run until a call is answered.
    fn answer(&self, id: u64) -> Result<(i64, Vec<u8>)> {
        let began = Instant::now();
        loop {
            self.run();
            if let Some(answer) = self.table.outside().answers.remove(&id) {
                return Ok(answer);
            }
            if let Some(token) = self.table.world(|world| world.fire(None)) {
                self.wake(token);
            } else if !self.table.wait(PATIENCE.saturating_sub(began.elapsed())) {
                return Err(Error::new(504, "the call was never answered"));
            }
        }
    }

    fn run(&self) {
        loop {
            let woken = std::mem::take(&mut self.table.outside().woken);
            if woken.is_empty() {
                return;
            }
            woken.into_iter().for_each(|token| self.wake(token));
        }
    }

    fn wake(&self, token: u64) {
        // SAFETY: an instance that is there.
        unsafe { export::wake(self.instance, token) };
    }

    fn state(&self, call: impl FnOnce(&StateExtension, *mut c_void, Done)) -> Result<Option<Vec<u8>>> {
        // SAFETY: an instance that is there; the table is a static of this crate, of the type that goes with the name.
        let table = unsafe {
            export::extension(self.instance, lend(EXTENSION_STATE.as_bytes()))
                .cast::<StateExtension>()
                .as_ref()
        };
        let Some(table) = table else { return Ok(None) };
        hear(|done| call(table, self.instance, done)).map(Some)
    }
}

fn create(table: &'static Table, setup: impl FnOnce(&mut Plugin) -> Result<()>) -> Result<*mut c_void> {
    // SAFETY: a table of this version, which is never freed.
    let host = unsafe { HostRef::new(table.host()) }.ok_or_else(|| Error::internal("no host"))?;
    let mut instance = std::ptr::null_mut();
    let said = hear(|done| instance = export::create_with(host, setup, done));
    match said {
        Err(error) if instance.is_null() => Err(error),
        _ => Ok(instance),
    }
}

/// What is said before the call returns; nothing is fine, too.
fn hear(call: impl FnOnce(Done)) -> Result<Vec<u8>> {
    unsafe extern "C" fn said(context: *mut c_void, code: i64, result: chathost_abi::Bytes) {
        // SAFETY: the context is the one below; this is called before `call` returns.
        let (heard, result) = unsafe { (&mut *context.cast::<Result<Vec<u8>>>(), bytes(result)) };
        *heard = match code {
            0 => Ok(result.to_vec()),
            code => Err(Error::host(code, String::from_utf8_lossy(result).into_owned())),
        };
    }
    let mut heard: Result<Vec<u8>> = Ok(Vec::new());
    call(Done {
        context: (&raw mut heard).cast(),
        call: Some(said),
    });
    heard
}

impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: created by `create`, and destroyed once.
        unsafe { export::destroy(self.instance) };
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}
