//! The task of one connection: it reads, keeps the time limits, and sees the connection to its end.
//!
//! It holds little while nothing happens: a timer that is set again only when it fires, and whatever of a package is
//! not whole yet. The buffer that the socket is read into is the server's.

use super::{
    CloseReason, Connection, State, inbound,
    stream::{Broken, Event, Inflow},
    wire::Framing,
};
use crate::{app::App, session::Session};
use socket2::SockRef;
use std::{
    future::poll_fn,
    io,
    net::Shutdown,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};

/// How long a closing connection may take to send what is left and to be closed by the client.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes of a client that are read and ignored after its connection was closed.
const IGNORED: usize = 64 * 1024;

/// A body before the client has shaken hands; the handshake is one. Its JSON costs a hundred times its length.
const MAX_STRANGER: usize = 16 * 1024;

/// Runs a connection from its first byte to its last.
pub(super) async fn run(app: Rc<App>, session: Rc<Session>) {
    let connection = session.connection().clone();
    serve(&app, &session, &connection).await;
    drop(session);
    // Not for ever: the client may never read it.
    drop(timeout(FAREWELL, Box::pin(say_goodbye(&app, &connection))).await);
    app.connections.end();
}

async fn serve(app: &Rc<App>, session: &Rc<Session>, connection: &Rc<Connection>) {
    let mut inflow = Inflow::Opening;
    let mut timer = std::pin::pin!(sleep_until(connection.deadline.get()));
    while connection.closing.get().is_none() {
        tokio::select! {
            happened = poll_fn(|context| poll(connection, context)) => match happened {
                Ok(Happened { readable, writable }) => {
                    if writable {
                        app.outgoing.flush(connection);
                    }
                    if readable {
                        read(app, session, &mut inflow);
                    }
                }
                Err(_) => connection.fail(CloseReason::ConnectionLost),
            },
            () = &mut timer => {
                if let Some(reason) = overdue(app, connection) {
                    connection.fail(reason);
                }
                timer.as_mut().reset(next_look(app, connection));
            }
        }
        if over_at(app, connection) < timer.deadline() {
            timer.as_mut().reset(next_look(app, connection));
        }
        if let Some(reason) = connection.failed.get() {
            connection.close(app, reason, None);
        }
    }
}

/// What woke the task. Neither: the connection wants to be looked at.
struct Happened {
    readable: bool,
    writable: bool,
}

/// Waits for the socket and for whoever wants the task to look at the connection. One function, because a future for each of
/// them would take as much memory as all else that the task keeps.
fn poll(connection: &Connection, context: &mut Context<'_>) -> Poll<io::Result<Happened>> {
    let woken = connection.wake.poll(context).is_ready();
    let readable = connection.stream.poll_read_ready(context)?.is_ready();
    let writable =
        connection.blocked.get().is_some() && connection.stream.poll_write_ready(context)?.is_ready();
    if woken || readable || writable {
        return Poll::Ready(Ok(Happened { readable, writable }));
    }
    Poll::Pending
}

/// Reads what there is and sees to it.
fn read(app: &Rc<App>, session: &Rc<Session>, inflow: &mut Inflow) {
    let connection = session.connection();
    let mut buffer = app.outgoing.take_read_buffer();
    match connection.stream.try_read(&mut buffer) {
        Ok(0) => connection.fail(CloseReason::ConnectionLost),
        Ok(count) => {
            if count < buffer.len() {
                clear_readiness(&connection.stream, Interest::READABLE);
            }
            feed(app, session, inflow, &buffer[..count]);
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) => {}
        Err(_) => connection.fail(CloseReason::ConnectionLost),
    }
    app.outgoing.give_read_buffer(buffer);
}

/// Tells tokio that the kernel has no more, or takes no more. A read that did not fill the buffer took all there was, and
/// saying so saves the system call that would find out; what happens from here on raises a new event, because only this
/// thread looks for events.
pub(super) fn clear_readiness(stream: &TcpStream, interest: Interest) {
    let drained = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
    drop(stream.try_io(interest, drained));
}

fn feed(app: &Rc<App>, session: &Rc<Session>, inflow: &mut Inflow, bytes: &[u8]) {
    let connection = session.connection();
    if !app
        .settings
        .connector
        .heartbeat
        .is_some_and(|_| connection.state.get() == State::Working)
    {
        // Without heartbeats any byte shows that the client lives. Before that, the handshake's limit stands.
        if connection.state.get() == State::Working {
            connection
                .deadline
                .set(Instant::now() + app.settings.connector.silence(&app.settings.limits));
        }
    }
    let most = app.settings.limits.package_bytes;
    let max_body = || {
        if connection.state.get() == State::Working {
            most
        } else {
            most.min(MAX_STRANGER)
        }
    };
    let control = |bytes: &[u8]| connection.write_control(app, bytes);
    let fed = inflow.feed(bytes, most, max_body, control, |event| match event {
        Event::WebSocket { response, browser } => {
            connection.browser.set(browser);
            open(app, connection, Framing::WebSocket);
            connection.write_bytes(app, &response);
        }
        Event::Tcp => open(app, connection, Framing::Tcp),
        Event::Control => {
            inbound::counted(app, connection);
        }
        Event::Package(package) => inbound::package(app, session, package),
    });
    if let Err(Broken { reason, last_words }) = fed {
        if !last_words.is_empty() {
            connection.write_bytes(app, &last_words);
        }
        connection.close(app, reason, None);
    }
}

fn open(app: &Rc<App>, connection: &Rc<Connection>, framing: Framing) {
    connection.wire.replace(app.outgoing.wires.plain(framing));
    connection.state.set(State::Inited);
}

/// Why the connection's time is up, if it is.
fn overdue(app: &App, connection: &Connection) -> Option<CloseReason> {
    let now = Instant::now();
    if connection
        .blocked
        .get()
        .is_some_and(|since| now >= since + app.settings.limits.write_timeout())
    {
        return Some(CloseReason::WriteTimeout);
    }
    (now >= connection.deadline.get()).then(|| match connection.state.get() {
        State::Working if app.settings.connector.heartbeat.is_some() => CloseReason::HeartbeatTimeout,
        State::Working => CloseReason::IdleTimeout,
        _ => CloseReason::HandshakeTimeout,
    })
}

/// When to look at the clock again. Limits that were prolonged in the meantime cost one look, not one timer each.
fn next_look(app: &App, connection: &Connection) -> Instant {
    over_at(app, connection).max(Instant::now() + Duration::from_millis(1))
}

/// When a limit of the connection is over.
fn over_at(app: &App, connection: &Connection) -> Instant {
    let next = connection.deadline.get();
    match connection.blocked.get() {
        Some(since) => next.min(since + app.settings.limits.write_timeout()),
        None => next,
    }
}

/// Writes what is left, says that nothing more will come, and waits until the client has gone as well: closing with
/// unread bytes would take back what was just sent.
async fn say_goodbye(app: &Rc<App>, connection: &Connection) {
    loop {
        app.outgoing.flush(connection);
        if connection.outbox.borrow().is_empty()
            || connection.failed.get() == Some(CloseReason::ConnectionLost)
        {
            break;
        }
        if connection.stream.writable().await.is_err() {
            return;
        }
    }
    drop(SockRef::from(&connection.stream).shutdown(Shutdown::Write));
    // What it still had under way. Who goes on talking after that is cut off.
    let mut patience = IGNORED;
    while connection.stream.readable().await.is_ok() {
        let mut buffer = app.outgoing.take_read_buffer();
        let read = connection.stream.try_read(&mut buffer);
        app.outgoing.give_read_buffer(buffer);
        match read {
            Ok(0) => return,
            Ok(count) if count < patience => patience -= count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
        // Nothing here waits if the client is fast enough; others and the time limit have to get their turn.
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, F: Future>(_: impl FnOnce(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// tokio adds 96 bytes to a task and rounds up to 128: a release takes 384 (280 of ours). Debug assertions, and what the
    /// tests of other crates ask of tokio, make it a little more here.
    #[test]
    fn a_connection_at_rest_is_small() {
        let (task, connection) = (size(run), size_of::<Connection>());
        assert!(task <= 304 && connection <= 296, "{task}, {connection}");
    }
}
