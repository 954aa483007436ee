//! The servers of one process: started together, swapped together, ended together.
//!
//! What can be wrong is found before anybody is let in: first every port is taken, then every server loads its
//! handlers, then the dictionary is made of all their routes, and only then the frontends accept. The program
//! (`chathost`) and the tests both start a host; what they differ in is the configuration.

mod listen;
mod load;
mod swap;
mod watchdog;

pub use crate::server::Report;
pub use swap::{Refusal, Reload, Swapped};

use crate::{
    config::{Cluster, ServerInfo},
    connector::Tables,
    envelope::ServerId,
    handler::{HandlerFactory, HandlerSource, LoadError},
    post::Loopback,
    server::{Command, Server},
};
use futures_util::future::{join_all, select_all};
use load::{end, load, load_only};
use pomelo_protocol::{Dictionary, Protos};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};
use watchdog::Watchdog;

/// How long a server may take to answer the host.
const PATIENCE: Duration = Duration::from_secs(10);

/// The servers of this process.
#[derive(Debug)]
pub struct Host {
    cluster: Arc<Cluster>,
    source: Arc<dyn HandlerSource>,
    protos: Arc<Protos>,
    servers: Vec<Server>,
    types: BTreeMap<Arc<str>, TypeHandlers>,
    started: Instant,
    _watchdog: Watchdog,
}

/// What serves a type.
#[derive(Debug)]
struct TypeHandlers {
    number: u64,
    current: Arc<dyn HandlerFactory>,
    /// What served before; `rollback` returns to it.
    previous: Option<Arc<dyn HandlerFactory>>,
    routes: Vec<String>,
}

/// Why the servers did not start: everything that is wrong.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct StartError {
    /// One line each: what, why, remedy.
    pub problems: Vec<String>,
}

impl From<LoadError> for StartError {
    fn from(LoadError { problems }: LoadError) -> Self {
        Self { problems }
    }
}

impl Host {
    /// Starts every hosted server of a cluster. A `clientPort` of 0 becomes a free port.
    ///
    /// # Errors
    /// Ports in use, handlers that do not load. Nothing is left running.
    pub async fn start(mut cluster: Cluster, source: Arc<dyn HandlerSource>) -> Result<Self, StartError> {
        let protos = protos(&cluster)?;
        let mut listeners = listen::listen(&mut cluster)?;
        let cluster = Arc::new(cluster);
        let factories = factories(&cluster, &*source)?;
        let post = Arc::new(Loopback::default());
        // Every mailbox is open before the first server runs.
        let plans = cluster.hosted().filter_map(|info| {
            let handlers = factories.get(&info.server_type)?;
            Some(load::plan(
                info,
                &cluster,
                &post,
                handlers,
                listeners.remove(&info.id),
            ))
        });
        let (servers, mut routes) = load(plans.collect(), cluster.threads).await?;
        // The dictionary has the routes of all types, also of those that another process hosts.
        for (server_type, handlers) in &factories {
            if !routes.contains_key(server_type) {
                match load_only(&cluster, server_type, handlers).await {
                    Ok(found) => drop(routes.insert(server_type.clone(), found)),
                    Err(error) => {
                        end(servers, Duration::ZERO).await;
                        return Err(error.into());
                    }
                }
            }
        }
        let types = factories.into_iter().map(|(server_type, current)| {
            let routes = routes.remove(&server_type).unwrap_or_default();
            (
                server_type,
                TypeHandlers {
                    number: 1,
                    current,
                    previous: None,
                    routes,
                },
            )
        });
        let watchdog = Watchdog::start(&servers);
        let host = Self {
            types: types.collect(),
            cluster,
            source,
            protos,
            servers,
            started: Instant::now(),
            _watchdog: watchdog,
        };
        host.open().await;
        Ok(host)
    }

    /// Loads everything that [`Host::start`] would, and starts nothing.
    ///
    /// # Errors
    /// As `start`, without the ports.
    pub async fn check(cluster: Cluster, source: Arc<dyn HandlerSource>) -> Result<(), StartError> {
        protos(&cluster)?;
        let cluster = Arc::new(cluster);
        let mut problems = Vec::new();
        for (server_type, handlers) in factories(&cluster, &*source)? {
            if let Err(error) = load_only(&cluster, &server_type, &handlers).await {
                problems.extend(error.problems);
            }
        }
        load::once(&mut problems);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(StartError { problems })
        }
    }

    /// The servers there are, with the ports that were chosen.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// How long it has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// How every hosted server does, in the order of the file. One that does not answer in time has an empty report.
    pub async fn report(&self) -> Vec<(Arc<ServerInfo>, Report)> {
        join_all(self.servers.iter().map(|server| async move {
            let (done, report) = oneshot::channel();
            drop(server.commands.send(Command::Report(done)).await);
            let report = timeout(Duration::from_secs(2), report).await;
            (
                server.info.clone(),
                report.ok().and_then(Result::ok).unwrap_or_default(),
            )
        }))
        .await
    }

    /// Resolves with the id of a server that ended without being told to; never if none does.
    pub async fn ended(&mut self) -> ServerId {
        if self.servers.is_empty() {
            return std::future::pending().await;
        }
        let (_, place, _) = select_all(self.servers.iter_mut().map(|server| &mut server.ended)).await;
        self.servers.remove(place).info.id.clone()
    }

    /// Ends every server: frontends first, whose leave logic needs the others.
    pub async fn stop(self) {
        let grace = self.cluster.stop.grace();
        let (frontends, backends): (Vec<_>, Vec<_>) =
            self.servers.into_iter().partition(|server| server.info.frontend);
        for servers in [frontends, backends] {
            end(servers, grace).await;
        }
    }

    /// Hands the tables of this moment to the frontends: for whoever shakes hands from here on.
    async fn open(&self) {
        let routes = self
            .types
            .values()
            .flat_map(|handlers| handlers.routes.iter().cloned());
        let dictionary = Arc::new(Dictionary::new(routes, &self.cluster.dictionary));
        for server in self.servers.iter().filter(|server| server.info.frontend) {
            let connector = &self.cluster.settings.for_type(&server.info.server_type).connector;
            let tables = Tables {
                dictionary: connector.use_dict.then(|| dictionary.clone()),
                protos: connector.use_protobuf.then(|| self.protos.clone()),
            };
            // A server that ended in the meantime is noticed by `ended`.
            drop(server.commands.send(Command::Open(tables)).await);
        }
    }
}

type Factories = BTreeMap<Arc<str>, Arc<dyn HandlerFactory>>;

/// What serves each type, hosted here or not.
fn factories(cluster: &Cluster, source: &dyn HandlerSource) -> Result<Factories, StartError> {
    let mut factories = Factories::new();
    let mut problems = Vec::new();
    for server_type in cluster
        .types()
        .filter(|server_type| cluster.servers_of(server_type).len() > 0)
    {
        match source.read(server_type) {
            Ok(factory) => drop(factories.insert(server_type.clone(), factory)),
            Err(error) => problems.extend(error.problems),
        }
    }
    load::once(&mut problems);
    if problems.is_empty() {
        Ok(factories)
    } else {
        Err(StartError { problems })
    }
}

fn protos(cluster: &Cluster) -> Result<Arc<Protos>, StartError> {
    Protos::new(&cluster.server_protos, &cluster.client_protos)
        .map(Arc::new)
        .map_err(|error| StartError {
            problems: vec![error.to_string()],
        })
}
