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

/// Starts the servers, on so many threads (0: each has its own), and waits until all have loaded. If one fails, none is
/// left. Returns them in the order of the plans, and the routes by type.
pub(super) async fn load(
    plans: Vec<Plan>,
    threads: u32,
) -> Result<(Vec<Server>, BTreeMap<Arc<str>, Vec<String>>), LoadError> {
    let order: Vec<_> = plans.iter().map(|plan| plan.info.id.clone()).collect();
    let mut servers: Vec<Server> = Vec::new();
    let mut loading: Vec<(Arc<ServerInfo>, Loaded)> = Vec::new();
    let mut problems: Vec<String> = Vec::new();
    for plans in share(plans, threads) {
        let ids: Vec<_> = plans.iter().map(|plan| plan.info.id.clone()).collect();
        match server::spawn(plans) {
            Ok(started) => {
                for (server, loaded) in started {
                    loading.push((server.info.clone(), loaded));
                    servers.push(server);
                }
            }
            Err(error) => problems.push(format!("no thread for server {}: {error}", ids.join(", "))),
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
        servers.sort_by_key(|server| order.iter().position(|id| *id == server.info.id));
        return Ok((servers, routes));
    }
    end(servers, Duration::ZERO).await;
    once(&mut problems);
    Err(LoadError { problems })
}

/// Who shares a thread: dealt like cards, in the order of the file, so that those of one type are apart.
fn share(plans: Vec<Plan>, threads: u32) -> Vec<Vec<Plan>> {
    let threads = match usize::try_from(threads) {
        Ok(threads) if threads > 0 => threads.min(plans.len()),
        _ => plans.len(),
    };
    let mut shares: Vec<Vec<Plan>> = (0..threads).map(|_| Vec::new()).collect();
    for (place, plan) in plans.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(place % threads) {
            share.push(plan);
        }
    }
    shares
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
    let (servers, routes) = load(plans, 0).await?;
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
