//! A server: an event loop on one thread, which owns everything that hangs on its [`App`].
//!
//! Each has a thread of its own, or some share one ([`Cluster::threads`]): then what would wake another thread is only the
//! next thing to do, and the rest is the same.
//!
//! [`crate::host`] starts servers and tells them what to do by [`Command`]s; servers tell each other things by
//! envelopes. A server ends when it is told to, and takes its time: what runs may end, then every session is closed and
//! its leave logic runs, each within a limit.

use crate::{
    app::App,
    config::{Cluster, ServerInfo},
    connector::{self, CloseReason, Tables},
    envelope::Envelope,
    handler::{HandlerFactory, LoadError, MethodStats, Prepared},
    post::Transport,
    pulse::{Pulse, Stalls},
    remote, rpc,
    tasks::Tasks,
    turn,
};
use std::{io, rc::Rc, sync::Arc, thread, time::Duration};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot, watch},
    task::{JoinSet, spawn_local},
    time::timeout,
};
use tracing::Span;

/// What it takes to start a server.
pub(crate) struct Plan {
    pub(crate) info: Arc<ServerInfo>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) mailbox: mpsc::Receiver<Envelope>,
    /// A frontend's, bound already.
    pub(crate) listener: Option<std::net::TcpListener>,
    pub(crate) handlers: Arc<dyn HandlerFactory>,
    /// The number of its first generation.
    pub(crate) number: u64,
    /// Where it shows that it moves.
    pub(crate) pulse: Arc<Pulse>,
}

/// What the host wants of a server.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take clients, and hand these tables to them; to those who are there already nothing changes.
    Open(Tables),
    /// Build the next generation beside the one that serves.
    Prepare {
        /// What it is made of.
        handlers: Arc<dyn HandlerFactory>,
        /// Its number.
        number: u64,
        /// How it went.
        done: Done,
    },
    /// Hand the state over; from here on new work waits for `Switch` or `Abandon`.
    TakeOver(Done),
    /// Let the next generation serve.
    Switch(Done),
    /// Forget the next generation.
    Abandon,
    /// Say how it goes.
    Report(oneshot::Sender<Report>),
    /// End. What runs may take this long, and the leave logic as long again.
    Stop(Duration),
}

/// How a step of a swap went.
pub(crate) type Done = oneshot::Sender<Result<(), LoadError>>;

/// How a server does.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The generation that serves, `3-79dc2d75`.
    pub generation: Arc<str>,
    /// Its methods, and how each does.
    pub methods: Vec<(String, MethodStats)>,
    /// Bytes of memory that its handlers use and may use.
    pub memory: Option<(usize, usize)>,
    /// Generations that were replaced and are not gone yet.
    pub retired: usize,
    /// Clients.
    pub sessions: usize,
    /// Users who are bound.
    pub uids: usize,
    /// Channels with members.
    pub channels: usize,
    /// Calls that run.
    pub running: usize,
    /// How often one of its handlers held it up.
    pub stalls: Stalls,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) info: Arc<ServerInfo>,
    pub(crate) pulse: Arc<Pulse>,
    /// Dropping it ends the server without grace.
    pub(crate) commands: mpsc::Sender<Command>,
    /// Resolves when nothing is left of the server.
    pub(crate) ended: oneshot::Receiver<()>,
}

/// The routes that a server answers, or why its handlers were refused.
pub(crate) type Loaded = oneshot::Receiver<Result<Vec<String>, LoadError>>;

/// Bytes of a server's stack. A script's remotes can call each other on their own server, each inside the other, two hundred
/// deep before Luau ends it; without optimisation that takes more than the usual 2 MiB. What is not used takes no memory.
const STACK: usize = 32 << 20;

/// A server that starts: what it is, and where it says how it goes.
struct Start {
    plan: Plan,
    orders: mpsc::Receiver<Command>,
    loaded: oneshot::Sender<Result<Vec<String>, LoadError>>,
    /// Dropped when nothing is left of it.
    ended: oneshot::Sender<()>,
}

/// Starts a thread with these servers. Each loads its handlers and says so, then waits for commands.
pub(crate) fn spawn(plans: Vec<Plan>) -> io::Result<Vec<(Server, Loaded)>> {
    let name = match plans.as_slice() {
        [plan] => plan.info.id.to_string(),
        _ => "servers".to_owned(),
    };
    let (servers, starts): (Vec<_>, Vec<_>) = plans.into_iter().map(start).unzip();
    thread::Builder::new()
        .name(name)
        .stack_size(STACK)
        .spawn(move || run_all(starts))?;
    Ok(servers)
}

fn start(plan: Plan) -> ((Server, Loaded), Start) {
    let (commands, orders) = mpsc::channel(8);
    let (say_loaded, loaded) = oneshot::channel();
    let (say_ended, ended) = oneshot::channel();
    let server = Server {
        info: plan.info.clone(),
        pulse: plan.pulse.clone(),
        commands,
        ended,
    };
    let start = Start {
        plan,
        orders,
        loaded: say_loaded,
        ended: say_ended,
    };
    ((server, loaded), start)
}

/// A thread, from its first line to its last.
fn run_all(mut starts: Vec<Start>) {
    let alone = if starts.len() == 1 { starts.pop() } else { None };
    let _span = alone.as_ref().map(|start| span(start).entered());
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            for start in alone.into_iter().chain(starts) {
                let problems = vec![error.to_string()];
                drop(start.loaded.send(Err(LoadError { problems })));
            }
            return;
        }
    };
    match alone {
        Some(Start {
            plan,
            orders,
            loaded,
            ended,
        }) => {
            runtime.block_on(run(plan, orders, loaded, Tasks::default()));
            drop(runtime);
            drop(ended);
        }
        None => runtime.block_on(async {
            let ids: Vec<_> = starts.iter().map(|start| start.plan.info.id.clone()).collect();
            tracing::info!("{} share a thread", ids.join(", "));
            let mut running = JoinSet::new();
            for start in starts {
                let tasks = Tasks::shared(span(&start));
                running.spawn_local(tasks.in_span(run_beside_others(start, tasks.clone())));
            }
            while running.join_next().await.is_some() {}
        }),
    }
}

fn span(start: &Start) -> Span {
    tracing::info_span!("server", id = %start.plan.info.id)
}

/// Whatever becomes of it, nothing of it stays on the thread.
async fn run_beside_others(
    Start {
        plan,
        orders,
        loaded,
        ended,
    }: Start,
    tasks: Tasks,
) {
    let run = run(plan, orders, loaded, tasks.clone());
    tokio::select! {
        run = spawn_local(tasks.in_span(run)) => {
            if let Err(error) = run {
                tracing::error!(%error, "the server failed and ends");
            }
        }
        () = tasks.reap() => {}
    }
    tasks.end().await;
    drop(ended);
}

async fn run(
    plan: Plan,
    orders: mpsc::Receiver<Command>,
    loaded: oneshot::Sender<Result<Vec<String>, LoadError>>,
    tasks: Tasks,
) {
    let app = App::beside(tasks, plan.info, plan.cluster, plan.transport, plan.pulse);
    match Prepared::build(&app, &*plan.handlers, plan.number) {
        Ok(first) => {
            drop(loaded.send(Ok(first.routes())));
            first.switch(&app);
        }
        Err(error) => return drop(loaded.send(Err(error))),
    }
    let mut loops = JoinSet::new();
    loops.spawn_local(app.tasks.in_span(remote::run(app.clone(), plan.mailbox)));
    loops.spawn_local(app.tasks.in_span(turn::run(app.clone())));
    loops.spawn_local(app.tasks.in_span(rpc::expire(app.clone())));
    tokio::select! {
        () = serve(&app, plan.listener, (plan.handlers, plan.number), orders) => {}
        // None of the loops ends by itself. A server that has lost one is better gone, and seen to be.
        Some(lost) = loops.join_next() => tracing::error!(?lost, "the server failed and ends"),
    }
    loops.shutdown().await;
    app.release();
}

async fn serve(
    app: &Rc<App>,
    mut listener: Option<std::net::TcpListener>,
    mut current: (Arc<dyn HandlerFactory>, u64),
    mut orders: mpsc::Receiver<Command>,
) {
    let (stop, stopped) = watch::channel(false);
    let mut prepared = None;
    // An answer that nobody waits for any more is none.
    let grace = loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            () = app.renewal.notified() => {
                renew(app, &current);
                continue;
            }
        };
        match order {
            Some(Command::Open(tables)) => {
                app.outgoing.set_tables(tables);
                let Some(listener) = listener.take() else { continue };
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        drop(
                            app.tasks
                                .spawn(connector::serve(app.clone(), listener, stopped.clone())),
                        );
                    }
                    Err(error) => tracing::error!(%error, "the listener is of no use"),
                }
            }
            Some(Command::Prepare {
                handlers,
                number,
                done,
            }) => {
                let built = Prepared::build(app, &*handlers, number);
                drop(done.send(built.map(|built| prepared = Some((built, (handlers, number))))));
            }
            Some(Command::TakeOver(done)) => {
                app.gate.close();
                let taken = prepared
                    .as_ref()
                    .map_or(Ok(()), |(built, _)| Prepared::take_over(built, app));
                drop(done.send(taken));
            }
            Some(Command::Switch(done)) => {
                if let Some((built, made_of)) = prepared.take() {
                    Prepared::switch(built, app);
                    current = made_of;
                }
                app.gate.open();
                drop(done.send(Ok(())));
            }
            Some(Command::Abandon) => {
                prepared = None;
                app.gate.open();
            }
            Some(Command::Report(done)) => drop(done.send(report(app))),
            Some(Command::Stop(grace)) => break grace,
            None => break Duration::ZERO,
        }
    };
    app.gate.open();
    app.stopping.set(true);
    stop.send_replace(true);
    end(app, grace).await;
}

/// The handlers' VM is worn: the same generation goes on in a fresh one.
fn renew(app: &Rc<App>, (handlers, number): &(Arc<dyn HandlerFactory>, u64)) {
    match Prepared::build(app, &**handlers, *number) {
        Ok(fresh) => {
            tracing::warn!(
                generation = *number,
                "the handlers have run out of memory and begin anew"
            );
            fresh.switch(app);
        }
        Err(error) => {
            tracing::error!(%error, "the handlers have run out of memory, and could not begin anew");
        }
    }
}

fn report(app: &App) -> Report {
    let generation = app.serving.current();
    let methods = generation.as_ref().map(|generation| {
        let manifest = generation.handlers().manifest().methods().iter().enumerate();
        manifest
            .map(|(id, method)| (format!("{}.{}", method.group, method.name), generation.stats(id)))
            .collect()
    });
    Report {
        generation: generation
            .as_ref()
            .map(|generation| generation.label().clone())
            .unwrap_or_default(),
        methods: methods.unwrap_or_default(),
        memory: generation.and_then(|generation| generation.handlers().memory()),
        retired: app.serving.retired(),
        sessions: app.sessions.count(),
        uids: app.sessions.uid_count(),
        channels: app.channels.count(),
        running: app.lanes.running(),
        stalls: app.pulse.stalls(),
    }
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
