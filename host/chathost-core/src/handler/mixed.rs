//! Handlers of several origins for one server type: scripts for some groups, a library for others.
//!
//! Each part has its own filters, state and tests; a global filter of any part is in front of every message.

use super::{GlobalRequest, HandlerFactory, Handlers, LoadError, Manifest, MethodId, Request};
use crate::{
    app::App,
    error::{CallError, Reply},
    session::BackendSession,
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use std::{rc::Rc, sync::Arc};

/// Makes one generation of several parts.
#[derive(Debug)]
pub struct MixedFactory {
    parts: Vec<(Arc<dyn HandlerFactory>, Groups)>,
}

/// Which groups a part gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// All that no other part is asked for by name.
    Rest,
    /// These only; each has to be there.
    Only(Vec<String>),
}

impl MixedFactory {
    /// Parts, and which groups each gives.
    pub fn new(parts: Vec<(Arc<dyn HandlerFactory>, Groups)>) -> Self {
        Self { parts }
    }
}

impl HandlerFactory for MixedFactory {
    fn hash(&self) -> String {
        // Different if any part is.
        let all: String = self.parts.iter().map(|(part, _)| part.hash()).collect();
        format!("{:08x}", crc32fast::hash(all.as_bytes()))
    }

    fn build(&self, app: &Rc<App>, number: u64) -> Result<Rc<dyn Handlers>, LoadError> {
        let mut parts = Vec::new();
        let mut problems = Vec::new();
        for (factory, _) in &self.parts {
            match factory.build(app, number) {
                Ok(part) => parts.push(part),
                Err(error) => problems.extend(error.problems),
            }
        }
        if !problems.is_empty() {
            return Err(LoadError { problems });
        }
        let named = |group: &str| {
            self.parts.iter().any(
                |(_, groups)| matches!(groups, Groups::Only(only) if only.iter().any(|name| name == group)),
            )
        };
        let mut methods = Vec::new();
        let mut origins = Vec::new();
        for (place, (part, (_, groups))) in parts.iter().zip(&self.parts).enumerate() {
            for (id, method) in part.manifest().methods().iter().enumerate() {
                let gives = match groups {
                    Groups::Rest => !named(&method.group),
                    Groups::Only(groups) => groups.contains(&method.group),
                };
                if gives {
                    methods.push(method.clone());
                    origins.push((place, id));
                }
            }
            let Groups::Only(groups) = groups else { continue };
            let known: Vec<&str> = part
                .manifest()
                .methods()
                .iter()
                .map(|method| method.group.as_str())
                .collect();
            for group in groups.iter().filter(|group| !known.contains(&group.as_str())) {
                problems.push(format!(
                    "handlers.json: {}: the library has no group {group}; it has {}",
                    app.server_type(),
                    known.join(", ")
                ));
            }
        }
        if !problems.is_empty() {
            return Err(LoadError { problems });
        }
        Ok(Rc::new(Mixed {
            manifest: Manifest::new(app.server_type(), methods),
            origins,
            parts: parts.into(),
        }))
    }
}

#[derive(Debug)]
struct Mixed {
    manifest: Manifest,
    /// For each method its part, and its id there.
    origins: Vec<(usize, MethodId)>,
    parts: Rc<[Rc<dyn Handlers>]>,
}

impl Mixed {
    fn origin(&self, method: MethodId) -> Option<(&Rc<dyn Handlers>, MethodId)> {
        let (part, id) = *self.origins.get(method)?;
        Some((self.parts.get(part)?, id))
    }
}

impl Handlers for Mixed {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn handle(&self, mut request: Request) -> LocalBoxFuture<'static, Reply> {
        let Some((part, id)) = self.origin(request.method) else {
            return Box::pin(async { Reply::unhandled() });
        };
        request.method = id;
        part.handle(request)
    }

    fn invoke(&self, method: MethodId, args: Bytes) -> LocalBoxFuture<'static, Result<Bytes, CallError>> {
        match self.origin(method) {
            Some((part, id)) => part.invoke(id, args),
            None => Box::pin(async { Err(CallError::failed("no such method")) }),
        }
    }

    fn knows(&self, module: &str, function: &str) -> bool {
        self.parts.iter().any(|part| part.knows(module, function))
    }

    fn notice(
        &self,
        module: &str,
        function: &str,
        session: Rc<BackendSession>,
        reason: &str,
    ) -> LocalBoxFuture<'static, ()> {
        let part = self
            .parts
            .iter()
            .find(|part| part.knows(module, function))
            .or_else(|| self.parts.first());
        match part {
            Some(part) => part.notice(module, function, session, reason),
            None => Box::pin(async {}),
        }
    }

    fn selftest(&self) -> Result<(), LoadError> {
        self.parts.iter().try_for_each(|part| part.selftest())
    }

    /// One element for each part.
    fn export_state(&self) -> Result<Option<Bytes>, LoadError> {
        let mut states = Vec::new();
        for part in self.parts.iter() {
            let state = part.export_state()?;
            states.push(
                state
                    .map(|state| serde_json::from_slice::<Value>(&state))
                    .transpose()
                    .map_err(|error| broken(&error))?,
            );
        }
        if states.iter().all(Option::is_none) {
            return Ok(None);
        }
        serde_json::to_vec(&states)
            .map(|state| Some(state.into()))
            .map_err(|error| broken(&error))
    }

    fn import_state(&self, state: Bytes) -> Result<(), LoadError> {
        let states: Vec<Value> = serde_json::from_slice(&state).unwrap_or_default();
        for (part, state) in self
            .parts
            .iter()
            .zip(states)
            .filter(|(_, state)| !state.is_null())
        {
            part.import_state(state.to_string().into())?;
        }
        Ok(())
    }

    fn retire(&self) {
        self.parts.iter().for_each(|part| part.retire());
    }

    fn pending(&self) -> usize {
        self.parts.iter().map(|part| part.pending()).sum()
    }

    fn end(&self) {
        self.parts.iter().for_each(|part| part.end());
    }

    fn memory(&self) -> Option<(usize, usize)> {
        self.parts
            .iter()
            .filter_map(|part| part.memory())
            .reduce(|(a, b), (c, d)| (a + c, b + d))
    }

    fn has_global_filters(&self) -> bool {
        self.parts.iter().any(|part| part.has_global_filters())
    }

    fn global_before(&self, mut request: GlobalRequest) -> LocalBoxFuture<'static, Result<Bytes, Reply>> {
        let parts = self.parts.clone();
        Box::pin(async move {
            for part in parts.iter().filter(|part| part.has_global_filters()) {
                request.body = part.global_before(request.clone()).await?;
            }
            Ok(request.body)
        })
    }

    fn global_after(&self, request: GlobalRequest, reply: Reply) -> LocalBoxFuture<'static, ()> {
        let parts = self.parts.clone();
        Box::pin(async move {
            for part in parts.iter().rev().filter(|part| part.has_global_filters()) {
                part.global_after(request.clone(), reply.clone()).await;
            }
        })
    }
}

fn broken(error: &serde_json::Error) -> LoadError {
    LoadError {
        problems: vec![format!("exportState: {error}")],
    }
}
