//! The task that keeps the [`Host`]: whoever wants something of the running servers asks it, one after the other.
//!
//! The admin address, the file watcher, signals and tests all hold a [`Handle`].

use chathost_core::{
    envelope::ServerId,
    host::{Host, Refusal, Reload, Report, Swapped},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Asks the host. Cheap to clone; outlives the host, and then every question fails.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::Sender<Order>);

/// What a swap came to: per server type, what serves now or why the old handlers keep serving.
pub type Swaps = Vec<(String, Result<Swapped, Refusal>)>;

#[derive(Debug)]
enum Order {
    Reload {
        server_type: Option<String>,
        how: Reload,
        done: oneshot::Sender<Swaps>,
    },
    Rollback {
        server_type: String,
        done: oneshot::Sender<Swaps>,
    },
    List(oneshot::Sender<Vec<Row>>),
    Stop(oneshot::Sender<()>),
}

/// A line of `chathost list`. The names are the original's columns; sizes in MiB, uptime in minutes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The server's id.
    pub server_id: String,
    /// Its type; `master` for the host itself.
    pub server_type: String,
    /// The process.
    pub pid: u32,
    /// Memory of the process.
    pub rss: f64,
    /// Memory that the server's handlers may use.
    pub heap_total: f64,
    /// Memory that they use.
    pub heap_used: f64,
    /// Since the start.
    pub uptime: f64,
    /// What serves, `3-79dc2d75`.
    pub generation: String,
    /// Generations that were replaced and are not gone yet.
    pub retired: usize,
    /// Clients that are connected.
    pub sessions: usize,
    /// Channels with members.
    pub channels: usize,
    /// Calls that run.
    pub running: usize,
    /// How often the server stood still, in a handler that did not come back for 200 ms.
    pub stalls: u64,
    /// In which handler the last time.
    pub last_stall: String,
    /// Libraries that this process has opened and never closes; in the row of the master.
    pub libraries: usize,
    /// How the handlers do.
    pub handlers: Vec<HandlerRow>,
}

/// A line of `chathost list --handlers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandlerRow {
    /// `chatHandler.send`.
    pub method: String,
    /// Calls that ended on this generation.
    pub calls: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Milliseconds from beginning to end, waiting included, on average.
    pub average_ms: f64,
}

/// The host has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host has ended")]
pub struct Ended;

impl Handle {
    /// Reads the handlers of a type again, or of all types, and lets them serve.
    ///
    /// # Errors
    /// The host has ended.
    pub async fn reload(&self, server_type: Option<&str>, how: Reload) -> Result<Swaps, Ended> {
        let server_type = server_type.map(str::to_owned);
        self.ask(|done| Order::Reload {
            server_type,
            how,
            done,
        })
        .await
    }

    /// Returns to what served a type before.
    ///
    /// # Errors
    /// The host has ended.
    pub async fn rollback(&self, server_type: &str) -> Result<Swaps, Ended> {
        let server_type = server_type.to_owned();
        self.ask(|done| Order::Rollback { server_type, done }).await
    }

    /// How every server does.
    ///
    /// # Errors
    /// The host has ended.
    pub async fn list(&self) -> Result<Vec<Row>, Ended> {
        self.ask(Order::List).await
    }

    pub(crate) async fn stop(&self) -> Result<(), Ended> {
        self.ask(Order::Stop).await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Ended> {
        let (done, answer) = oneshot::channel();
        self.0.send(order(done)).await.map_err(|_| Ended)?;
        answer.await.map_err(|_| Ended)
    }
}

/// Takes the host. The receiver hears of a server that ended without being told to.
pub(crate) fn keep(host: Host) -> (Handle, mpsc::Receiver<ServerId>) {
    let (orders, received) = mpsc::channel(16);
    let (lost, losses) = mpsc::channel(16);
    tokio::spawn(run(host, received, lost));
    (Handle(orders), losses)
}

async fn run(mut host: Host, mut orders: mpsc::Receiver<Order>, lost: mpsc::Sender<ServerId>) {
    loop {
        let order = tokio::select! {
            id = host.ended() => {
                drop(lost.try_send(id));
                continue;
            }
            order = orders.recv() => order,
        };
        match order {
            Some(Order::Reload {
                server_type,
                how,
                done,
            }) => {
                let types = server_type.map_or_else(|| host.types(), |one| vec![one]);
                let mut swaps = Swaps::new();
                for server_type in types {
                    let swapped = host.reload(&server_type, how).await;
                    swaps.push(noted(server_type, swapped));
                }
                drop(done.send(swaps));
            }
            Some(Order::Rollback { server_type, done }) => {
                let swapped = host.rollback(&server_type).await;
                drop(done.send(vec![noted(server_type, swapped)]));
            }
            Some(Order::List(done)) => drop(done.send(rows(&host).await)),
            Some(Order::Stop(done)) => {
                host.stop().await;
                // Who asked may not wait for it.
                let _ = done.send(());
                return;
            }
            None => return host.stop().await,
        }
    }
}

/// A refusal belongs into the log, whoever asked.
fn noted(server_type: String, swapped: Result<Swapped, Refusal>) -> (String, Result<Swapped, Refusal>) {
    if let Err(refusal) = &swapped {
        tracing::error!(
            server_type,
            "the new handlers are refused, the old ones keep serving:\n  {}",
            refusal.problems.join("\n  ")
        );
    }
    (server_type, swapped)
}

async fn rows(host: &Host) -> Vec<Row> {
    let (pid, rss) = (std::process::id(), rss());
    let uptime = minutes(host.uptime());
    let master = Row {
        server_id: host.cluster().master.id.clone(),
        server_type: "master".into(),
        pid,
        rss,
        heap_total: rss,
        heap_used: rss,
        uptime,
        generation: String::new(),
        retired: 0,
        sessions: 0,
        channels: 0,
        running: 0,
        stalls: 0,
        last_stall: String::new(),
        libraries: chathost_native::kept_open(),
        handlers: Vec::new(),
    };
    let mut rows = vec![master];
    for (info, report) in host.report().await {
        let Report {
            generation,
            methods,
            memory,
            retired,
            sessions,
            channels,
            running,
            stalls,
            ..
        } = report;
        let (used, total) = memory.unwrap_or_default();
        let handlers = methods.into_iter().map(|(method, stats)| HandlerRow {
            method,
            calls: stats.calls,
            errors: stats.errors,
            average_ms: stats.time.as_secs_f64() * 1000.0 / (stats.calls.max(1) as f64),
        });
        rows.push(Row {
            server_id: info.id.to_string(),
            server_type: info.server_type.to_string(),
            pid,
            rss,
            heap_total: mebibytes(total),
            heap_used: mebibytes(used),
            uptime,
            generation: generation.to_string(),
            retired,
            sessions,
            channels,
            running,
            stalls: stalls.count,
            last_stall: stalls.last,
            libraries: 0,
            handlers: handlers.collect(),
        });
    }
    rows.sort_by(|a, b| (&a.server_type, &a.server_id).cmp(&(&b.server_type, &b.server_id)));
    rows
}

fn minutes(time: Duration) -> f64 {
    time.as_secs_f64() / 60.0
}

fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// Resident memory of this process in MiB; 0 where the system does not say.
fn rss() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .split_whitespace()
            .next()?
            .parse::<f64>()
            .ok()
    });
    kib.unwrap_or_default() / 1024.0
}
