//! The plugin's side of the C interface. Authors use [`export_plugin!`](crate::export_plugin) and never see it.

use crate::{
    app::App,
    error::{Error, Result},
    host::{HostRef, bytes, header_of, lend},
    panics,
    plugin::{Answer, Incoming, Plugin},
    session::Session,
    timer,
};
use chathost_abi::{
    Bytes, Call, Done, EXTENSION_SELFTEST, EXTENSION_STATE, Host, SelftestExtension, StateExtension,
};
use std::{
    ffi::{CStr, c_void},
    ptr::null_mut,
    task::{Context, Poll, Waker},
};

pub use chathost_abi::Plugin as Entry;

/// What [`export_plugin!`](crate::export_plugin) makes of a function.
pub trait Author {
    /// The plugin's name.
    const NAME: &'static CStr;

    /// Fills the plugin.
    ///
    /// # Errors
    /// Why it should not be loaded.
    fn setup(plugin: &mut Plugin) -> Result<()>;
}

/// Exports a plugin: the function `fn(&mut Plugin) -> Result<()>` that says what it answers. Once in a library.
#[macro_export]
macro_rules! export_plugin {
    ($setup:path) => {
        const _: () = {
            struct Exported;

            impl $crate::export::Author for Exported {
                const NAME: &'static ::std::ffi::CStr = match ::std::ffi::CStr::from_bytes_with_nul(
                    concat!(env!("CARGO_PKG_NAME"), "\0").as_bytes(),
                ) {
                    Ok(name) => name,
                    Err(_) => c"",
                };

                fn setup(plugin: &mut $crate::Plugin) -> $crate::Result<()> {
                    $setup(plugin)
                }
            }

            #[allow(
                unsafe_code,
                non_upper_case_globals,
                reason = "the symbol that chathost looks for"
            )]
            #[unsafe(no_mangle)]
            pub static chathost_plugin_entry: $crate::export::Entry = $crate::export::entry::<Exported>();
        };
    };
}

/// The constant that a library exports.
pub const fn entry<A: Author>() -> Entry {
    Entry {
        header: header_of::<Entry>(),
        name: A::NAME.as_ptr(),
        create: Some(create::<A>),
        destroy: Some(destroy),
        call: Some(call),
        wake: Some(wake),
        extension: Some(extension),
    }
}

unsafe extern "C" fn create<A: Author>(host: *const Host, refused: Done) -> *mut c_void {
    panics::listen();
    // SAFETY: what the host hands over to create an instance with.
    match unsafe { HostRef::new(host) } {
        Some(host) => create_with(host, A::setup, refused),
        None => {
            tell(refused, Err(Error::internal("the host is of another version")));
            null_mut()
        }
    }
}

/// Makes an instance. Its pointer is an [`App`] in a box.
pub(crate) fn create_with(
    host: HostRef,
    setup: impl FnOnce(&mut Plugin) -> Result<()>,
    refused: Done,
) -> *mut c_void {
    let app = App::new(host);
    let loaded = panics::catch(|| {
        let mut plugin = Plugin::new(&app);
        setup(&mut plugin)?;
        plugin.finish();
        Ok(())
    });
    match loaded.unwrap_or_else(|said| Err(Error::internal(said))) {
        Ok(()) => Box::into_raw(Box::new(app)).cast(),
        Err(error) => {
            app.end();
            tell(refused, Err(error));
            null_mut()
        }
    }
}

pub(crate) unsafe extern "C" fn destroy(instance: *mut c_void) {
    // SAFETY: the host gives back what `create` returned, once.
    let app = unsafe { Box::from_raw(instance.cast::<App>()) };
    // What futures do when they are dropped is theirs to answer for.
    if let Err(said) = panics::catch(|| app.end()) {
        app.error(said);
    }
}

/// # Safety
/// `instance` is what `create` returned, and is not destroyed.
unsafe fn app(instance: *mut c_void) -> App {
    // SAFETY: the caller's promise; it lives until `destroy`.
    unsafe { &*instance.cast::<App>() }.clone()
}

pub(crate) unsafe extern "C" fn call(instance: *mut c_void, call: *const Call) {
    // SAFETY: the host calls an instance with a call that is there until this returns, with all that it points to.
    let (app, call) = unsafe { (app(instance), &*call) };
    // SAFETY: as above.
    let (route, body) = unsafe { (bytes(call.route), bytes(call.body)) };
    let session = (call.session != 0).then(|| Session::lent(&app, call.session));
    let begun = panics::catch(|| -> Result<Answered> {
        let methods = app.methods();
        let method = methods
            .method(call.method)
            .ok_or_else(|| Error::internal(format!("there is no method {}", call.method)))?;
        let incoming = Incoming {
            route: std::str::from_utf8(route).unwrap_or_default(),
            body,
            session: session.clone(),
        };
        let mut answer = method(&app, incoming);
        // Most handlers do not wait: they are polled once, in place, and need no task.
        Ok(
            match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(outcome) => Answered::Now(outcome),
                Poll::Pending => Answered::Later(answer),
            },
        )
    });
    let begun = begun.unwrap_or_else(|said| Err(Error::internal(said)));
    let (host, id) = (app.host(), call.id);
    let finish = move |outcome: Result<Vec<u8>>| {
        if let Some(session) = session {
            session.outlive();
        }
        match outcome {
            Ok(answer) => host.complete(id, 0, &answer),
            Err(error) => host.complete(id, error.status(), error.message().as_bytes()),
        }
    };
    match begun {
        Ok(Answered::Now(outcome)) => finish(outcome),
        Ok(Answered::Later(answer)) => app.tasks().wait(Box::pin(async move {
            let outcome = panics::caught(answer).await;
            finish(outcome.unwrap_or_else(|said| Err(Error::internal(said))));
        })),
        Err(error) => finish(Err(error)),
    }
}

/// An answer that is there, or comes.
enum Answered {
    Now(Result<Vec<u8>>),
    Later(Answer),
}

pub(crate) unsafe extern "C" fn wake(instance: *mut c_void, token: u64) {
    // SAFETY: the host wakes an instance that is there.
    let app = unsafe { app(instance) };
    if let Err(said) = panics::catch(|| timer::woken(&app, token)) {
        app.error(said);
    }
}

pub(crate) unsafe extern "C" fn extension(instance: *mut c_void, name: Bytes) -> *const c_void {
    static STATE: StateExtension = StateExtension {
        header: header_of::<StateExtension>(),
        export_state,
        import_state,
    };
    static SELFTEST: SelftestExtension = SelftestExtension {
        header: header_of::<SelftestExtension>(),
        selftest,
    };
    // SAFETY: the host asks an instance that is there, with a name that is.
    let (app, name) = unsafe { (app(instance), bytes(name)) };
    let methods = app.methods();
    let has_state = methods.export_state.is_some() || methods.import_state.is_some();
    if name == EXTENSION_STATE.as_bytes() && has_state {
        return (&raw const STATE).cast();
    }
    if name == EXTENSION_SELFTEST.as_bytes() && methods.selftest.is_some() {
        return (&raw const SELFTEST).cast();
    }
    std::ptr::null()
}

unsafe extern "C" fn export_state(instance: *mut c_void, done: Done) {
    // SAFETY: as in `extension`.
    let app = unsafe { app(instance) };
    let exported = panics::catch(|| {
        app.methods()
            .export_state
            .as_ref()
            .map_or(Ok(Vec::new()), |export| export(&app))
    });
    tell(done, exported.unwrap_or_else(|said| Err(Error::internal(said))));
}

unsafe extern "C" fn import_state(instance: *mut c_void, state: Bytes, done: Done) {
    // SAFETY: as in `extension`; the state is there until this returns.
    let (app, state) = unsafe { (app(instance), bytes(state)) };
    let imported = panics::catch(|| {
        app.methods()
            .import_state
            .as_ref()
            .map_or(Ok(()), |import| import(&app, state))
    });
    tell(
        done,
        imported
            .unwrap_or_else(|said| Err(Error::internal(said)))
            .map(|()| Vec::new()),
    );
}

unsafe extern "C" fn selftest(instance: *mut c_void, done: Done) {
    // SAFETY: as in `extension`.
    let app = unsafe { app(instance) };
    let tested = panics::catch(|| app.methods().selftest.as_ref().map_or(Ok(()), |test| test(&app)));
    tell(
        done,
        tested
            .unwrap_or_else(|said| Err(Error::internal(said)))
            .map(|()| Vec::new()),
    );
}

fn tell(done: Done, outcome: Result<Vec<u8>>) {
    let Some(call) = done.call else { return };
    match outcome {
        // SAFETY: the host's own function, on its thread, once; the bytes are there during the call.
        Ok(value) => unsafe { call(done.context, 0, lend(&value)) },
        // SAFETY: as above.
        Err(error) => unsafe { call(done.context, error.code(), lend(error.message().as_bytes())) },
    }
}
