//! Threads of servers: started, and waited for until they have loaded or ended.

use crate::{
    config::{Cluster, ServerInfo},
    handler::{HandlerFactory, LoadError},
    post::Loopback,
    server::{self, Command, Loaded, Plan, Server},
};
use futures_util::future::join_all;
use std::{collections::BTreeMap, net::TcpListener, sync::Arc, time::Duration};
use tokio::time::timeout;

/// What it takes to start a server; its mailbox is open from here on.
pub(super) fn plan(
    info: &Arc<ServerInfo>,
    cluster: &Arc<Cluster>,
    post: &Arc<Loopback>,
    handlers: &Arc<dyn HandlerFactory>,
    listener: Option<TcpListener>,
) -> Plan {
    Plan {
        mailbox: post.open(info.id.clone()),
        listener,
        info: info.clone(),
        cluster: cluster.clone(),
        transport: post.clone(),
        handlers: handlers.clone(),
        number: 1,
        pulse: Arc::default(),
    }
}

/// Starts the threads and waits until all have loaded. If one fails, none is left. Returns the routes by type.
pub(super) async fn load(
    plans: Vec<Plan>,
) -> Result<(Vec<Server>, BTreeMap<Arc<str>, Vec<String>>), LoadError> {
    let mut servers = Vec::new();
    let mut loading: Vec<(Arc<ServerInfo>, Loaded)> = Vec::new();
    let mut problems: Vec<String> = Vec::new();
    for plan in plans {
        let info = plan.info.clone();
        match server::spawn(plan) {
            Ok((server, loaded)) => {
                servers.push(server);
                loading.push((info, loaded));
            }
            Err(error) => problems.push(format!("no thread for server {}: {error}", info.id)),
        }
    }
    let mut routes = BTreeMap::new();
    for (info, loaded) in loading {
        match loaded.await {
            Ok(Ok(answered)) => drop(routes.insert(info.server_type.clone(), answered)),
            Ok(Err(error)) => problems.extend(error.problems),
            Err(_) => problems.push(format!("server {} ended while it loaded its handlers", info.id)),
        }
    }
    if problems.is_empty() {
        return Ok((servers, routes));
    }
    end(servers, Duration::ZERO).await;
    once(&mut problems);
    Err(LoadError { problems })
}

/// Loads handlers in a server that reaches nobody and ends at once. Returns their routes.
pub(super) async fn load_only(
    cluster: &Arc<Cluster>,
    server_type: &str,
    handlers: &Arc<dyn HandlerFactory>,
) -> Result<Vec<String>, LoadError> {
    let nowhere = Arc::new(Loopback::default());
    let first = cluster.servers_of(server_type).next();
    let plans = first
        .map(|info| plan(info, cluster, &nowhere, handlers, None))
        .into_iter()
        .collect();
    let (servers, routes) = load(plans).await?;
    end(servers, Duration::ZERO).await;
    Ok(routes.into_values().flatten().collect())
}

/// Tells servers to end, and waits until they have.
pub(super) async fn end(servers: Vec<Server>, grace: Duration) {
    join_all(servers.into_iter().map(|server| async move {
        drop(server.commands.send(Command::Stop(grace)).await);
        // Twice the grace is the server's own limit; a thread that does not come back is not waited for.
        if timeout(grace * 2 + Duration::from_secs(3), server.ended)
            .await
            .is_err()
        {
            tracing::error!(id = %server.info.id, "the server does not end and is left behind");
        }
    }))
    .await;
}

/// All servers of a type find the same.
pub(super) fn once(problems: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    problems.retain(|problem| seen.insert(problem.clone()));
}
