//! Where a project's handlers come from: scripts below `handlers/`, and libraries that `handlers.json` names.
//!
//! Without an entry there, a type is served by its scripts, or else by `plugins/lib<type>.so` if that is there. A type that
//! a library serves still runs `app.lua`, which says how its servers are reached.

use chathost_core::{
    config::{Cluster, Libraries},
    handler::{Groups, HandlerFactory, HandlerSource, LoadError, MixedFactory},
};
use chathost_lua::LuaHandlers;
use chathost_native::Library;
use std::{
    collections::BTreeMap,
    env::consts::{DLL_PREFIX, DLL_SUFFIX},
    path::Path,
    sync::Arc,
};

/// Reads what serves a type, as the files say at that moment.
#[derive(Debug)]
pub(crate) struct ProjectHandlers {
    scripts: LuaHandlers,
    cluster: Cluster,
}

impl ProjectHandlers {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        Self {
            scripts: LuaHandlers::new(cluster.base.join("handlers")),
            cluster: cluster.clone(),
        }
    }

    fn library(&self, path: &Path) -> Result<Arc<dyn HandlerFactory>, LoadError> {
        Ok(Library::open(&self.cluster.base.join(path))?)
    }

    /// `app.lua`, and a library for everything else.
    fn all(&self, server_type: &str, path: &Path) -> Result<Arc<dyn HandlerFactory>, LoadError> {
        let parts = vec![
            (self.scripts.read_app(server_type)?, Groups::Rest),
            (self.library(path)?, Groups::Rest),
        ];
        Ok(Arc::new(MixedFactory::new(parts)))
    }
}

impl HandlerSource for ProjectHandlers {
    fn read(&self, server_type: &str) -> Result<Arc<dyn HandlerFactory>, LoadError> {
        let libraries = self
            .cluster
            .read_libraries()
            .map_err(|errors| LoadError { problems: errors.0 })?;
        match libraries.get(server_type) {
            Some(Libraries::All(path)) => self.all(server_type, path),
            Some(Libraries::Groups(groups)) => {
                let scripts = if self.scripts.has(server_type) {
                    self.scripts.read(server_type)?
                } else {
                    self.scripts.read_app(server_type)?
                };
                let mut parts = vec![(scripts, Groups::Rest)];
                // One library is one instance, whatever the number of its groups.
                let mut by_path: BTreeMap<&Path, Vec<String>> = BTreeMap::new();
                for (group, path) in groups {
                    by_path.entry(path).or_default().push(group.clone());
                }
                for (path, groups) in by_path {
                    parts.push((self.library(path)?, Groups::Only(groups)));
                }
                Ok(Arc::new(MixedFactory::new(parts)))
            }
            None if self.scripts.has(server_type) => self.scripts.read(server_type),
            None => {
                let by_name = format!("plugins/{DLL_PREFIX}{server_type}{DLL_SUFFIX}");
                if self.cluster.base.join(&by_name).is_file() {
                    return self.all(server_type, Path::new(&by_name));
                }
                self.scripts.read(server_type)
            }
        }
    }
}
