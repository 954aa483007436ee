//! The host's table of functions, made safe: bytes in, bytes out.

use crate::{
    error::{Error, Result},
    panics,
};
use chathost_abi::{ABI_VERSION, Bytes, CODE_FAILED, Done, Header, Host, Kind, Push, Rpc};
use std::{
    cell::RefCell,
    ffi::c_void,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// The functions of the server that an instance lives on. Free to copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostRef(*const Host);

// SAFETY: the table is never freed and never changes; which functions may be called on which thread is up to the methods
// below, and the host refuses those of the server's thread elsewhere.
unsafe impl Send for HostRef {}
// SAFETY: as above.
unsafe impl Sync for HostRef {}

/// The header of a structure of this version.
pub(crate) const fn header_of<T>() -> Header {
    Header {
        abi_version: ABI_VERSION,
        size: size_of::<T>() as u32,
    }
}

/// Bytes to hand over; they stay ours.
pub(crate) fn lend(bytes: &[u8]) -> Bytes {
    Bytes {
        data: bytes.as_ptr(),
        len: bytes.len(),
    }
}

/// # Safety
/// The bytes are there for as long as `'a`.
pub(crate) unsafe fn bytes<'a>(bytes: Bytes) -> &'a [u8] {
    if bytes.data.is_null() || bytes.len == 0 {
        return &[];
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) }
}

impl HostRef {
    /// # Safety
    /// `host` is the table that a host handed over; `None` if it is one of another version.
    pub(crate) unsafe fn new(host: *const Host) -> Option<Self> {
        // SAFETY: not null is checked here; a header is first in every version, and the table is never freed.
        let header = unsafe { host.cast::<Header>().as_ref() }?;
        let fits = header.abi_version == ABI_VERSION && header.size as usize >= size_of::<Host>();
        fits.then_some(Self(host))
    }

    fn table(&self) -> &Host {
        // SAFETY: checked when it was made, and never freed.
        unsafe { &*self.0 }
    }

    pub(crate) fn declare(self, kind: Kind, name: &str, flags: u32, method: u32) {
        // SAFETY: the host's own function; the name is there during the call. So it is in every function below.
        unsafe { (self.table().declare)(self.0, kind as u32, lend(name.as_bytes()), flags, method) };
    }

    /// On any thread.
    pub(crate) fn complete(self, call: u64, code: i64, answer: &[u8]) {
        // SAFETY: as in `declare`.
        unsafe { (self.table().complete)(self.0, call, code, lend(answer)) };
    }

    /// On any thread. False if the server has too much to do.
    pub(crate) fn wake(self, token: u64) -> bool {
        // SAFETY: as in `declare`.
        unsafe { (self.table().wake)(self.0, token) == 0 }
    }

    /// On any thread.
    pub(crate) fn log(self, level: u32, line: &str) {
        // SAFETY: as in `declare`.
        unsafe { (self.table().log)(self.0, level, lend(line.as_bytes())) };
    }

    pub(crate) fn ask(self, session: u64, name: &str, args: &[u8]) -> Pending {
        // SAFETY: as in `declare`.
        Pending::new(|done| unsafe {
            (self.table().ask)(self.0, session, lend(name.as_bytes()), lend(args), done);
        })
    }

    /// Without waiting for an acknowledgement.
    pub(crate) fn push(self, push: &Push) -> Result<()> {
        // SAFETY: as in `declare`; so is the structure, and what it points to: see `channel::Push`.
        at_once(|_| (), |done| unsafe { (self.table().push)(self.0, push, done) })
    }

    pub(crate) fn push_acknowledged(self, push: &Push) -> Pending {
        // SAFETY: as in `push`.
        Pending::new(|done| unsafe { (self.table().push)(self.0, push, done) })
    }

    pub(crate) fn rpc(self, rpc: &Rpc) -> Pending {
        // SAFETY: as in `push`.
        Pending::new(|done| unsafe { (self.table().rpc)(self.0, rpc, done) })
    }

    pub(crate) fn rpc_notify(self, rpc: &Rpc) {
        let nobody = Done {
            context: std::ptr::null_mut(),
            call: None,
        };
        // SAFETY: as in `push`.
        unsafe { (self.table().rpc)(self.0, rpc, nobody) };
    }

    pub(crate) fn timer(self, milliseconds: u64, repeat: bool, token: u64) -> u64 {
        // SAFETY: as in `declare`.
        unsafe { (self.table().timer)(self.0, milliseconds, u32::from(repeat), token) }
    }

    pub(crate) fn cancel(self, timer: u64) {
        // SAFETY: as in `declare`.
        unsafe { (self.table().cancel)(self.0, timer) };
    }

    /// `read` gets plain text.
    pub(crate) fn session_uid<R>(self, session: u64, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        // SAFETY: as in `declare`.
        at_once(read, |done| unsafe {
            (self.table().session_uid)(self.0, session, done);
        })
    }

    /// `read` gets JSON, or nothing.
    pub(crate) fn session_get<R>(self, session: u64, key: &str, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        // SAFETY: as in `declare`.
        at_once(read, |done| unsafe {
            (self.table().session_get)(self.0, session, lend(key.as_bytes()), done);
        })
    }

    pub(crate) fn session_set(self, session: u64, key: &str, value: &[u8]) {
        // SAFETY: as in `declare`.
        unsafe { (self.table().session_set)(self.0, session, lend(key.as_bytes()), lend(value)) };
    }

    pub(crate) fn session_hold(self, session: u64) -> u64 {
        // SAFETY: as in `declare`.
        unsafe { (self.table().session_hold)(self.0, session) }
    }

    pub(crate) fn session_release(self, session: u64) {
        // SAFETY: as in `declare`.
        unsafe { (self.table().session_release)(self.0, session) };
    }
}

fn outcome(code: i64, result: &[u8]) -> Result<Vec<u8>> {
    match code {
        0 => Ok(result.to_vec()),
        code => Err(Error::host(code, String::from_utf8_lossy(result).into_owned())),
    }
}

/// The result of a function that is done before it returns, read where the host has it.
fn at_once<R, F: FnOnce(&[u8]) -> R>(read: F, call: impl FnOnce(Done)) -> Result<R> {
    struct Slot<R, F> {
        read: Option<F>,
        result: Option<Result<R>>,
    }
    unsafe extern "C" fn told<R, F: FnOnce(&[u8]) -> R>(context: *mut c_void, code: i64, result: Bytes) {
        // SAFETY: the context is the slot below; the host calls this once, before the function returns.
        let (slot, result) = unsafe { (&mut *context.cast::<Slot<R, F>>(), bytes(result)) };
        // What reads may be the author's `Deserialize`: a panic must not go through the host.
        slot.result = match slot.read.take() {
            Some(read) if code == 0 => match panics::catch_inside(|| read(result)) {
                Ok(value) => Some(Ok(value)),
                Err(said) => Some(Err(Error::internal(said))),
            },
            _ => Some(outcome(code, result).and_then(|_| Err(unanswered()))),
        };
    }
    let mut slot = Slot {
        read: Some(read),
        result: None,
    };
    call(Done {
        context: (&raw mut slot).cast(),
        call: Some(told::<R, F>),
    });
    slot.result.unwrap_or_else(|| Err(unanswered()))
}

fn unanswered() -> Error {
    Error::host(CODE_FAILED, "the host did not answer".to_owned())
}

/// A result that is there, or comes.
#[derive(Debug)]
pub(crate) struct Pending(Rc<RefCell<State>>);

#[derive(Debug)]
enum State {
    Waiting(Option<Waker>),
    Told(Result<Vec<u8>>),
    Taken,
}

impl Pending {
    fn new(call: impl FnOnce(Done)) -> Self {
        unsafe extern "C" fn told(context: *mut c_void, code: i64, result: Bytes) {
            // SAFETY: the context is the one below, and the host calls this once.
            let state = unsafe { Rc::from_raw(context.cast::<RefCell<State>>().cast_const()) };
            // SAFETY: the bytes are there during this call.
            let before = state.replace(State::Told(outcome(code, unsafe { bytes(result) })));
            if let State::Waiting(Some(waker)) = before {
                waker.wake();
            }
        }
        let state = Rc::new(RefCell::new(State::Waiting(None)));
        call(Done {
            context: Rc::into_raw(state.clone()).cast_mut().cast(),
            call: Some(told),
        });
        Self(state)
    }

    /// The result of what does not take time.
    pub(crate) fn now(self) -> Result<Vec<u8>> {
        match self.0.replace(State::Taken) {
            State::Told(result) => result,
            _ => Err(unanswered()),
        }
    }
}

impl Future for Pending {
    type Output = Result<Vec<u8>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.borrow_mut();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Told(result) => Poll::Ready(result),
            State::Waiting(_) => {
                *state = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
            State::Taken => Poll::Pending,
        }
    }
}
