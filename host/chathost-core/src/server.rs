//! A server: one thread with its own runtime, which owns everything that hangs on its [`App`].
//!
//! [`crate::host`] starts servers and tells them what to do by [`Command`]s; servers tell each other things by
//! envelopes. A server ends when it is told to, and takes its time: what runs may end, then every session is closed and
//! its leave logic runs, each within a limit.

use crate::{
    app::App,
    config::{Cluster, ServerInfo},
    connector::{self, CloseReason, Tables},
    envelope::Batch,
    handler::{HandlerFactory, LoadError},
    post::Transport,
    remote, rpc, turn,
};
use std::{io, rc::Rc, sync::Arc, thread, time::Duration};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot, watch},
    task::{JoinSet, spawn_local},
    time::timeout,
};

/// What it takes to start a server.
pub(crate) struct Plan {
    pub(crate) info: Arc<ServerInfo>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) mailbox: mpsc::Receiver<Batch>,
    /// A frontend's, bound already.
    pub(crate) listener: Option<std::net::TcpListener>,
    pub(crate) handlers: Arc<dyn HandlerFactory>,
}

/// What the host wants of a server.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take clients, and hand these tables to them.
    Open(Tables),
    /// End. What runs may take this long, and the leave logic as long again.
    Stop(Duration),
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) info: Arc<ServerInfo>,
    /// Dropping it ends the server without grace.
    pub(crate) commands: mpsc::Sender<Command>,
    /// Resolves when the thread is at its end.
    pub(crate) ended: oneshot::Receiver<()>,
}

/// The routes that a server answers, or why its handlers were refused.
pub(crate) type Loaded = oneshot::Receiver<Result<Vec<String>, LoadError>>;

/// Starts a server's thread. It loads its handlers and says so, then waits for commands.
pub(crate) fn spawn(plan: Plan) -> io::Result<(Server, Loaded)> {
    let runtime = || {
        Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
    };
    let (commands, orders) = mpsc::channel(8);
    let (say_loaded, loaded) = oneshot::channel();
    let (say_ended, ended) = oneshot::channel();
    let info = plan.info.clone();
    thread::Builder::new()
        .name(plan.info.id.to_string())
        .spawn(move || {
            let _span = tracing::info_span!("server", id = %plan.info.id).entered();
            match runtime() {
                Ok(runtime) => runtime.block_on(run(plan, say_loaded, orders)),
                Err(error) => drop(say_loaded.send(Err(LoadError {
                    problems: vec![error.to_string()],
                }))),
            }
            drop(say_ended);
        })?;
    Ok((
        Server {
            info,
            commands,
            ended,
        },
        loaded,
    ))
}

async fn run(
    plan: Plan,
    loaded: oneshot::Sender<Result<Vec<String>, LoadError>>,
    orders: mpsc::Receiver<Command>,
) {
    let app = App::new(plan.info, plan.cluster, plan.transport);
    match plan.handlers.build(&app) {
        Ok(handlers) => {
            drop(loaded.send(Ok(handlers.manifest().routes().collect())));
            app.running.switch(handlers);
        }
        Err(error) => return drop(loaded.send(Err(error))),
    }
    let mut loops = JoinSet::new();
    loops.spawn_local(remote::run(app.clone(), plan.mailbox));
    loops.spawn_local(turn::run(app.clone()));
    loops.spawn_local(rpc::expire(app.clone()));
    tokio::select! {
        () = serve(&app, plan.listener, orders) => {}
        // None of the loops ends by itself. A server that has lost one is better gone, and seen to be.
        Some(lost) = loops.join_next() => tracing::error!(?lost, "the server failed and ends"),
    }
    app.release();
}

async fn serve(
    app: &Rc<App>,
    mut listener: Option<std::net::TcpListener>,
    mut orders: mpsc::Receiver<Command>,
) {
    let (stop, stopped) = watch::channel(false);
    let grace = loop {
        match orders.recv().await {
            Some(Command::Open(tables)) => {
                app.outgoing.set_tables(tables);
                let Some(listener) = listener.take() else { continue };
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => drop(spawn_local(connector::serve(
                        app.clone(),
                        listener,
                        stopped.clone(),
                    ))),
                    Err(error) => tracing::error!(%error, "the listener is of no use"),
                }
            }
            Some(Command::Stop(grace)) => break grace,
            None => break Duration::ZERO,
        }
    };
    app.stopping.set(true);
    stop.send_replace(true);
    end(app, grace).await;
}

/// What runs may end; then the clients are sent away, and the leave logic runs.
async fn end(app: &Rc<App>, grace: Duration) {
    let ended = async {
        app.lanes.drained().await;
        app.calls.drained().await;
    };
    if timeout(grace, ended).await.is_err() {
        tracing::warn!(
            running = app.lanes.running(),
            waiting = app.calls.count(),
            "calls were cut off by the stop"
        );
    }
    for session in app.sessions.all() {
        session.connection().close(app, CloseReason::ServerStopped, None);
    }
    let left = async {
        app.lanes.drained().await;
        app.connections.drained().await;
    };
    if timeout(grace.max(connector::FAREWELL), left).await.is_err() {
        tracing::warn!(
            running = app.lanes.running(),
            "the leave logic was cut off by the stop"
        );
    }
    app.post.flush(app);
}
