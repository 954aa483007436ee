//! Replacing what serves a type, on all its servers or on none.
//!
//! First the new generation is tried where nobody is: on a thread of its own, with its self-test. Then every server
//! builds it beside the one that serves, the state is handed over, and all switch. Whatever goes wrong before that,
//! what served keeps serving.

use super::{Host, PATIENCE, TypeHandlers, load::load_only};
use crate::{
    handler::{HandlerFactory, LoadError},
    server::{Command, Done, Server},
};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::timeout};

/// How to replace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reload {
    /// Find out whether it would work, and leave it at that.
    pub dry_run: bool,
    /// The new generation may lack routes that the old one has.
    pub allow_removed_routes: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    /// Whose handlers.
    pub server_type: String,
    /// What serves now, `3-79dc2d75`; with `dry_run` what would.
    pub generation: String,
    /// The files were the same as before, and nothing was done.
    pub unchanged: bool,
    /// Routes that the old generation did not have.
    pub added: Vec<String>,
    /// Routes that it had.
    pub removed: Vec<String>,
}

/// Why what served keeps serving, or where it still does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct Refusal {
    /// One line each: file, line, cause, remedy.
    pub problems: Vec<String>,
}

impl From<LoadError> for Refusal {
    fn from(LoadError { problems }: LoadError) -> Self {
        Self { problems }
    }
}

impl Refusal {
    fn new(problem: String) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl Host {
    /// Reads the handlers of a type again and lets them serve.
    ///
    /// # Errors
    /// Why they do not.
    pub async fn reload(&mut self, server_type: &str, how: Reload) -> Result<Swapped, Refusal> {
        self.known(server_type)?;
        let factory = self.source.read(server_type)?;
        self.replace(server_type, factory, how).await
    }

    /// Returns to what served a type before. Again, and the newer one is back.
    ///
    /// # Errors
    /// There was nothing before, or it does not load any more.
    pub async fn rollback(&mut self, server_type: &str) -> Result<Swapped, Refusal> {
        let previous = self.known(server_type)?.previous.clone();
        let previous = previous.ok_or_else(|| {
            Refusal::new(format!(
                "{server_type}: nothing to return to, this is the first generation"
            ))
        })?;
        self.replace(
            server_type,
            previous,
            Reload {
                dry_run: false,
                allow_removed_routes: true,
            },
        )
        .await
    }

    /// The types there are.
    pub fn types(&self) -> Vec<String> {
        self.types.keys().map(ToString::to_string).collect()
    }

    fn known(&self, server_type: &str) -> Result<&TypeHandlers, Refusal> {
        self.types.get(server_type).ok_or_else(|| {
            Refusal::new(format!(
                "no server type {server_type}; there are {}",
                self.types().join(", ")
            ))
        })
    }

    async fn replace(
        &mut self,
        server_type: &str,
        factory: Arc<dyn HandlerFactory>,
        how: Reload,
    ) -> Result<Swapped, Refusal> {
        let old = self.known(server_type)?;
        let routes = load_only(&self.cluster, server_type, &factory).await?;
        if factory.hash() == old.current.hash() {
            return Ok(Swapped {
                server_type: server_type.to_owned(),
                generation: format!("{}-{}", old.number, old.current.hash()),
                unchanged: true,
                added: Vec::new(),
                removed: Vec::new(),
            });
        }
        let number = old.number + 1;
        let without = |these: &[String], those: &[String]| -> Vec<String> {
            these
                .iter()
                .filter(|route| !those.contains(route))
                .cloned()
                .collect()
        };
        let (added, removed) = (without(&routes, &old.routes), without(&old.routes, &routes));
        if !removed.is_empty() && !how.allow_removed_routes {
            return Err(Refusal::new(format!(
                "{server_type}: {} would be gone, and clients may call it; if that is meant: \
                 chathost reload {server_type} --allow-removed-routes",
                removed.join(", ")
            )));
        }
        let generation = format!("{number}-{}", factory.hash());
        let changed = !added.is_empty() || !removed.is_empty();
        let swapped = Swapped {
            server_type: server_type.to_owned(),
            generation,
            unchanged: false,
            added,
            removed,
        };
        if how.dry_run {
            return Ok(swapped);
        }
        let servers: Vec<&Server> = self
            .servers
            .iter()
            .filter(|server| *server.info.server_type == *server_type)
            .collect();
        let prepare = |done| Command::Prepare {
            handlers: factory.clone(),
            number,
            done,
        };
        // Those that share a thread build one after the other.
        let load = self.cluster.settings.for_type(server_type).script.load_ms;
        let loads = u64::from(load).saturating_mul(servers.len() as u64);
        let patience = PATIENCE + Duration::from_millis(loads);
        let mut ready = all(&servers, patience, prepare).await;
        if ready.is_ok() {
            ready = all(&servers, patience, Command::TakeOver).await;
        }
        if let Err(refusal) = ready {
            for server in servers {
                drop(server.commands.send(Command::Abandon).await);
            }
            return Err(refusal);
        }
        // From here on nothing can fail but a server as a whole: the others have switched.
        let switched = all(&servers, patience, Command::Switch).await;
        tracing::info!(server_type, generation = %swapped.generation, "handlers were replaced");
        if let Some(known) = self.types.get_mut(server_type) {
            known.number = number;
            known.previous = Some(std::mem::replace(&mut known.current, factory));
            known.routes = routes;
        }
        if changed {
            self.open().await;
        }
        switched.map_err(|mut refusal| {
            let generation = &swapped.generation;
            refusal.problems.push(format!(
                "{generation} serves on the others, and there when it moves again"
            ));
            refusal
        })?;
        Ok(swapped)
    }
}

/// Tells all servers the same and waits until all have done it.
async fn all(
    servers: &[&Server],
    patience: Duration,
    command: impl Fn(Done) -> Command,
) -> Result<(), Refusal> {
    let answers = join_all(servers.iter().map(|server| {
        let (done, answer) = oneshot::channel();
        let command = command(done);
        async move {
            drop(server.commands.send(command).await);
            match timeout(patience, answer).await {
                Ok(Ok(answer)) => answer.map_err(Refusal::from),
                Ok(Err(_)) => Err(Refusal::new(format!("server {} is gone", server.info.id))),
                Err(_) => Err(Refusal::new(format!("server {} does not answer", server.info.id))),
            }
        }
    }))
    .await;
    let mut problems: Vec<String> = answers
        .into_iter()
        .filter_map(Result::err)
        .flat_map(|r| r.problems)
        .collect();
    super::load::once(&mut problems);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Refusal { problems })
    }
}
