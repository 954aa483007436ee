//! The servers of one process: started together, ended together.
//!
//! What can be wrong is found before anybody is let in: first every port is taken, then every server loads its
//! handlers, then the dictionary is made of all their routes, and only then the frontends accept. The program
//! (`chathost`) and the tests both start a host; what they differ in is the configuration.

use crate::{
    config::{Cluster, ServerInfo},
    connector::Tables,
    envelope::ServerId,
    handler::{HandlerFactory, LoadError},
    post::Loopback,
    server::{self, Command, Loaded, Plan, Server},
};
use futures_util::future::{join_all, select_all};
use pomelo_protocol::{Dictionary, Protos};
use socket2::{Domain, Socket, Type};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// Connections that may wait to be accepted. Node's is 511; a thousand people may come at once.
const BACKLOG: i32 = 4096;

/// The servers of this process.
#[derive(Debug)]
pub struct Host {
    cluster: Arc<Cluster>,
    servers: Vec<Server>,
    grace: Duration,
}

/// Why the servers did not start: everything that is wrong.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct StartError {
    /// One line each: what, why, remedy.
    pub problems: Vec<String>,
}

impl Host {
    /// Starts every hosted server of a cluster. A `clientPort` of 0 becomes a free port.
    ///
    /// # Errors
    /// Ports in use, handlers that do not load, protos that make no sense. Nothing is left running.
    pub async fn start(mut cluster: Cluster, handlers: Arc<dyn HandlerFactory>) -> Result<Self, StartError> {
        let protos = protos(&cluster)?;
        let mut listeners = listen(&mut cluster)?;
        let cluster = Arc::new(cluster);
        let post = Arc::new(Loopback::default());
        // Every mailbox is open before the first server runs.
        let plans: Vec<Plan> = cluster
            .hosted()
            .map(|info| Plan {
                mailbox: post.open(info.id.clone()),
                listener: listeners.remove(&info.id),
                info: info.clone(),
                cluster: cluster.clone(),
                transport: post.clone(),
                handlers: handlers.clone(),
            })
            .collect();
        let (servers, mut routes) = load(plans).await?;
        routes.extend(routes_elsewhere(&cluster, &handlers).await?);
        let dictionary = Arc::new(Dictionary::new(routes, &cluster.dictionary));
        for server in servers.iter().filter(|server| server.info.frontend) {
            let connector = &cluster.settings.for_type(&server.info.server_type).connector;
            let tables = Tables {
                dictionary: connector.use_dict.then(|| dictionary.clone()),
                protos: connector.use_protobuf.then(|| protos.clone()),
            };
            // A server that ended in the meantime is noticed by `ended`.
            drop(server.commands.send(Command::Open(tables)).await);
        }
        let grace = cluster.stop.grace();
        Ok(Self {
            cluster,
            servers,
            grace,
        })
    }

    /// Loads everything that [`Host::start`] would, and starts nothing.
    ///
    /// # Errors
    /// As `start`, without the ports.
    pub async fn check(cluster: Cluster, handlers: Arc<dyn HandlerFactory>) -> Result<(), StartError> {
        protos(&cluster)?;
        let cluster = Arc::new(cluster);
        load_only(&cluster, &handlers, cluster.types()).await.map(drop)
    }

    /// The servers there are, with the ports that were chosen.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Resolves with the id of a server that ended without being told to; never if none does.
    pub async fn ended(&mut self) -> ServerId {
        let (_, place, _) = select_all(self.servers.iter_mut().map(|server| &mut server.ended)).await;
        self.servers.remove(place).info.id.clone()
    }

    /// Ends every server: frontends first, whose leave logic needs the others.
    pub async fn stop(self) {
        let (frontends, backends): (Vec<_>, Vec<_>) =
            self.servers.into_iter().partition(|server| server.info.frontend);
        for servers in [frontends, backends] {
            end(servers, self.grace).await;
        }
    }
}

async fn end(servers: Vec<Server>, grace: Duration) {
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

/// Starts the threads and waits until all have loaded. If one fails, none is left.
async fn load(plans: Vec<Plan>) -> Result<(Vec<Server>, Vec<String>), StartError> {
    let mut servers = Vec::new();
    let mut loading: Vec<(Arc<ServerInfo>, Loaded)> = Vec::new();
    for plan in plans {
        let info = plan.info.clone();
        let (server, loaded) = server::spawn(plan).map_err(|error| StartError {
            problems: vec![format!("no thread for server {}: {error}", info.id)],
        })?;
        servers.push(server);
        loading.push((info, loaded));
    }
    let mut routes: BTreeMap<Arc<str>, Vec<String>> = BTreeMap::new();
    let mut problems: Vec<String> = Vec::new();
    for (info, loaded) in loading {
        match loaded.await {
            Ok(Ok(answered)) => drop(routes.insert(info.server_type.clone(), answered)),
            Ok(Err(LoadError { problems: found })) => problems.extend(found),
            Err(_) => problems.push(format!("server {} ended while it loaded its handlers", info.id)),
        }
    }
    if problems.is_empty() {
        return Ok((servers, routes.into_values().flatten().collect()));
    }
    end(servers, Duration::ZERO).await;
    // All servers of a type find the same.
    let mut once: Vec<String> = Vec::new();
    for problem in problems {
        if !once.contains(&problem) {
            once.push(problem);
        }
    }
    Err(StartError { problems: once })
}

/// The dictionary has the routes of all types, also of those that another process hosts.
async fn routes_elsewhere(
    cluster: &Arc<Cluster>,
    handlers: &Arc<dyn HandlerFactory>,
) -> Result<Vec<String>, StartError> {
    let here = |server_type: &str| cluster.hosted().any(|server| *server.server_type == *server_type);
    let elsewhere = cluster.types().filter(|server_type| !here(server_type));
    load_only(cluster, handlers, elsewhere).await
}

/// Loads the handlers of these types in servers that end at once. Returns their routes.
async fn load_only(
    cluster: &Arc<Cluster>,
    handlers: &Arc<dyn HandlerFactory>,
    types: impl Iterator<Item = &Arc<str>>,
) -> Result<Vec<String>, StartError> {
    let nowhere = Arc::new(Loopback::default());
    let first = types.filter_map(|server_type| cluster.servers_of(server_type).next());
    let plans = first
        .map(|info| Plan {
            mailbox: nowhere.open(info.id.clone()),
            listener: None,
            info: info.clone(),
            cluster: cluster.clone(),
            transport: nowhere.clone(),
            handlers: handlers.clone(),
        })
        .collect();
    let (servers, routes) = load(plans).await?;
    end(servers, Duration::ZERO).await;
    Ok(routes)
}

fn protos(cluster: &Cluster) -> Result<Arc<Protos>, StartError> {
    Protos::new(&cluster.server_protos, &cluster.client_protos)
        .map(Arc::new)
        .map_err(|error| StartError {
            problems: vec![error.to_string()],
        })
}

/// Takes the port of every hosted frontend.
fn listen(cluster: &mut Cluster) -> Result<BTreeMap<ServerId, TcpListener>, StartError> {
    let mut listeners = BTreeMap::new();
    let mut problems = Vec::new();
    let frontends: Vec<_> = cluster
        .hosted()
        .filter(|server| server.frontend)
        .cloned()
        .collect();
    for info in frontends {
        let port = info.client_port.unwrap_or_default();
        let only_host = cluster
            .settings
            .for_type(&info.server_type)
            .connector
            .distinct_host;
        let bound = bind(only_host.then_some(info.host.as_str()), port)
            .and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        match bound {
            Ok((port, listener)) => {
                cluster.set_client_port(&info.id, port);
                listeners.insert(info.id.clone(), listener);
            }
            Err(error) => problems.push(not_bound(&info, port, &error)),
        }
    }
    if problems.is_empty() {
        Ok(listeners)
    } else {
        Err(StartError { problems })
    }
}

fn not_bound(info: &ServerInfo, port: u16, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "is in use; end what listens there, or change clientPort in servers.json",
        io::ErrorKind::PermissionDenied => {
            "needs a privilege; choose a clientPort above 1023 in servers.json"
        }
        _ => "could not be taken; see host and clientPort in servers.json",
    };
    format!("{}: port {port} {remedy} ({error})", info.id)
}

/// Listens on every interface of both address families, as Node does, or on one host only (`distinctHost`).
fn bind(only_host: Option<&str>, port: u16) -> io::Result<TcpListener> {
    match only_host {
        Some(host) => {
            let mut addresses = (host, port).to_socket_addrs()?;
            let address = addresses
                .next()
                .ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
            bind_address(address)
        }
        None => bind_address((Ipv6Addr::UNSPECIFIED, port).into()).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            // A machine without IPv6.
            _ => bind_address((Ipv4Addr::UNSPECIFIED, port).into()),
        }),
    }
}

fn bind_address(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
