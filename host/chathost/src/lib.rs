//! The program as a library: a cluster with its web page, started from files.
//!
//! `chathost start` and the tests both come here, so what is tested is what runs. The command line is `main.rs`'s, what
//! a server does is `chathost-core`'s, what a script sees is `chathost-lua`'s.
//!
//! ```no_run
//! # async fn example() -> Result<(), chathost::StartError> {
//! let options = chathost::Options::new("config/servers.json");
//! let instance = chathost::Instance::start(options.load()?).await?;
//! println!("{:?}", instance.page_address());
//! instance.stop().await;
//! # Ok(())
//! # }
//! ```

pub mod admin;
mod handlers;
pub mod keeper;
pub mod logging;
pub mod watch;

pub use chathost_core::host::StartError;

use chathost_core::{
    config::{self, Cluster, LoadOptions},
    envelope::ServerId,
    host::Host,
};
use chathost_web::Page;
use handlers::ProjectHandlers;
use keeper::Handle;
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// Which files make the cluster, and how much of it runs here.
#[derive(Debug, Clone)]
pub struct Options {
    /// `servers.json`; its folder is the configuration folder.
    pub servers: PathBuf,
    /// The folder of `handlers/`, `web-server/public/` and `logs/`.
    pub base: PathBuf,
    /// `development`, `production`, …
    pub env: String,
    /// Ids of the servers to host; empty for all.
    pub only: Vec<String>,
    /// Threads that the servers share, instead of what the configuration says; 0: each has its own.
    pub threads: Option<u32>,
}

impl Options {
    /// Everything in that file, in the environment `development`, with the current directory as base.
    pub fn new(servers: impl Into<PathBuf>) -> Self {
        Self {
            servers: servers.into(),
            base: ".".into(),
            env: "development".into(),
            only: Vec::new(),
            threads: None,
        }
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self) -> Result<Cluster, StartError> {
        let options = LoadOptions {
            servers_file: self.servers.clone(),
            base: self.base.clone(),
            env: self.env.clone(),
        };
        let mut cluster = config::load(&options).map_err(|errors| StartError { problems: errors.0 })?;
        if !self.only.is_empty() {
            cluster.only(&self.only).map_err(|problem| StartError {
                problems: vec![problem],
            })?;
        }
        cluster.threads = self.threads.unwrap_or(cluster.threads);
        Ok(cluster)
    }
}

/// A cluster that runs.
#[derive(Debug)]
pub struct Instance {
    cluster: Arc<Cluster>,
    host: Handle,
    lost: mpsc::Receiver<ServerId>,
    page: Option<PageServer>,
}

#[derive(Debug)]
struct PageServer {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<io::Result<()>>,
}

impl Instance {
    /// Starts what a configuration describes. Returns when clients can connect.
    ///
    /// # Errors
    /// Everything that keeps it from running. Nothing is left behind.
    pub async fn start(cluster: Cluster) -> Result<Self, StartError> {
        let page = listen_for_page(&cluster).await?;
        let handlers = Arc::new(ProjectHandlers::new(&cluster));
        let host = Host::start(cluster, handlers).await?;
        let (page, cluster) = (page.serve(host.cluster()), host.cluster().clone());
        let (host, lost) = keeper::keep(host);
        Ok(Self {
            cluster,
            host,
            lost,
            page,
        })
    }

    /// The servers, with the ports that were chosen.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Where the web page is served; `None` if it is off, or the gate is not hosted here.
    pub fn page_address(&self) -> Option<SocketAddr> {
        self.page.as_ref().map(|page| page.address)
    }

    /// Resolves with the id of a server that ended without being told to.
    pub async fn ended(&mut self) -> ServerId {
        match self.lost.recv().await {
            Some(id) => id,
            // The host is being stopped.
            None => std::future::pending().await,
        }
    }

    /// Asks the host that runs: swaps, how it does.
    pub fn handle(&self) -> Handle {
        self.host.clone()
    }

    /// Ends the page and every server; calls that run may end, within `stop.graceSeconds`.
    pub async fn stop(self) {
        if let Some(page) = self.page {
            // Who serves the page may have ended already.
            let _ = page.stop.send(());
            drop(page.ended.await);
        }
        // It may have ended already.
        let _ = self.host.stop().await;
    }
}

/// Validates a configuration and its handlers without starting anything.
///
/// # Errors
/// Everything that is wrong.
pub async fn check(cluster: Cluster) -> Result<(), StartError> {
    let handlers = Arc::new(ProjectHandlers::new(&cluster));
    Host::check(cluster, handlers).await
}

/// The page's port is taken before the servers start, so that all ports in use are found at the beginning.
struct PagePlan {
    base: PathBuf,
    listener: Option<TcpListener>,
}

async fn listen_for_page(cluster: &Cluster) -> Result<PagePlan, StartError> {
    let base = cluster.base.clone();
    let web = &cluster.web;
    if !web.enabled || gate(cluster).is_none() {
        return Ok(PagePlan { base, listener: None });
    }
    let listener = TcpListener::bind((web.host.as_str(), web.port)).await.map_err(|error| {
        let address = format!("{}:{}", web.host, web.port);
        let problem = format!(
            "the web page cannot be served on {address} ({error}); end what listens there, or change web.port in \
             chathost.json, or switch the page off with web.enabled"
        );
        StartError { problems: vec![problem] }
    })?;
    Ok(PagePlan {
        base,
        listener: Some(listener),
    })
}

fn gate(cluster: &Cluster) -> Option<(Option<String>, u16)> {
    let gate = cluster
        .hosted()
        .find(|server| &*server.server_type == "gate" && server.frontend)?;
    Some((gate.client_host.clone(), gate.client_port?))
}

impl PagePlan {
    fn serve(self, cluster: &Cluster) -> Option<PageServer> {
        let listener = self.listener?;
        let address = listener.local_addr().ok()?;
        let (gate_host, gate_port) = gate(cluster)?;
        let page = Page {
            public: self.base.join("web-server/public"),
            gate_host,
            gate_port,
        };
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(chathost_web::serve(listener, page, async {
            drop(stopped.await);
        }));
        Some(PageServer { address, stop, ended })
    }
}
