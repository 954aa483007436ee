//! `chathost start`: run until told to end.

use super::{runtime, say};
use crate::args::StartArgs;
use anyhow::Context;
use chathost::{
    Instance,
    admin::{self, Admin},
    keeper::Handle,
    logging, watch,
};
use chathost_core::{config::Cluster, host::Reload};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

pub(crate) fn run(args: &StartArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let mut options = args.project.options();
    options.only.clone_from(&args.only);
    options.threads = args.threads;
    let cluster = options.load()?;
    let _logs = logging::start(&cluster.base, &cluster.log).context("logs/")?;
    for warning in &cluster.warnings {
        tracing::warn!("{warning}");
    }
    allow_connections();
    // The runtime goes last: it must not wait for a server that does not end.
    let runtime = runtime()?;
    let code = runtime.block_on(serve(cluster, began, !args.only.is_empty()));
    runtime.shutdown_background();
    code
}

/// Each connection is an open file, and the usual limit is 1024 of them. More may be asked for.
fn allow_connections() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, current = limit.current, "the limit of open files, and so of connections, stays as it was");
    }
}

async fn serve(cluster: Cluster, began: Instant, is_part: bool) -> anyhow::Result<ExitCode> {
    let mut signals = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let admin = match Admin::listen(&cluster).await {
        Ok(admin) => Some(admin),
        // With --only there may be several hosts of one project on a machine; the first has the address.
        Err(problem) if is_part => {
            tracing::warn!("{problem}; this part of the cluster takes no commands");
            None
        }
        Err(problem) => anyhow::bail!(problem),
    };
    let mut instance = tokio::select! {
        instance = Instance::start(cluster) => instance?,
        () = any(&mut signals) => return Ok(ExitCode::SUCCESS),
    };
    tracing::info!("all servers startup in {} ms", began.elapsed().as_millis());
    describe(&instance);
    let (stop_admin, admin_stopped) = oneshot::channel::<()>();
    let host = instance.handle();
    let admin = tokio::spawn(async move {
        let Some(admin) = admin else { return Ok(()) };
        let stopped = async {
            drop(admin_stopped.await);
        };
        admin::serve(admin, host, stopped).await
    });
    let _watch = watch_handlers(&instance)?;
    tokio::spawn(reload_on_hangup(instance.handle(), signal(SignalKind::hangup())?));
    let code = tokio::select! {
        () = any(&mut signals) => ExitCode::SUCCESS,
        id = instance.ended() => {
            tracing::error!(%id, "a server failed; the others are ended, too");
            ExitCode::FAILURE
        }
    };
    say("stopping: people leave their rooms");
    let stop = async {
        drop(stop_admin);
        drop(tokio::time::timeout(Duration::from_secs(1), admin).await);
        instance.stop().await;
    };
    tokio::select! {
        () = stop => {}
        () = again(&mut signals) => tracing::warn!("stopped without waiting"),
    }
    tracing::info!("stopped");
    Ok(code)
}

/// In development, or where `handlers.watch` says so.
fn watch_handlers(instance: &Instance) -> anyhow::Result<Option<watch::Watch>> {
    let cluster = instance.cluster();
    if !cluster.handlers.watch.unwrap_or(cluster.env == "development") {
        return Ok(None);
    }
    let mut folders = ["handlers", "plugins"]
        .map(|name| cluster.base.join(name))
        .to_vec();
    folders.push(cluster.config_dir.clone());
    let watch = watch::watch(folders.iter().map(PathBuf::as_path), instance.handle());
    Ok(Some(watch.context(
        "handlers/ cannot be watched; switch it off with handlers.watch in chathost.json",
    )?))
}

async fn reload_on_hangup(host: Handle, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        if host.reload(None, Reload::default()).await.is_err() {
            return;
        }
    }
}

async fn any([interrupt, terminate]: &mut [Signal; 2]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// A second signal, from somebody who waits: what comes within a second is the first one's echo.
async fn again(signals: &mut [Signal; 2]) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    any(signals).await;
}

/// What listens where, and what to do next.
fn describe(instance: &Instance) {
    let cluster = instance.cluster();
    say(&format!(
        "chathost {}, environment {}",
        env!("CARGO_PKG_VERSION"),
        cluster.env
    ));
    let width = |of: fn(&chathost_core::config::ServerInfo) -> &str| {
        cluster
            .hosted()
            .map(|server| of(server).len())
            .max()
            .unwrap_or_default()
    };
    let (ids, types) = (width(|server| &server.id), width(|server| &server.server_type));
    for server in cluster.hosted() {
        let place = match server.client_port.filter(|_| server.frontend) {
            Some(port) => format!("clients on port {port} (WebSocket and TCP)"),
            None => "in this process".to_owned(),
        };
        say(&format!(
            "  {:ids$}  {:types$}  {place}",
            server.id, server.server_type
        ));
    }
    if let Some(address) = instance.page_address() {
        say(&format!("\n  open http://{address}/ in a browser; Ctrl-C ends"));
    }
}
