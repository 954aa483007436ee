//! From files to a [`Cluster`]: which file is read, which part of it, and what stands in where there is none.
//!
//! A file is looked for where Pomelo looks: beside `servers.json` first, then in the folder of the environment. What
//! the files contain is the business of [`servers`] and [`settings`].

use super::{
    Cluster, ConfigErrors, LibrariesByType, LoadOptions, Master, handlers,
    nearest::nearest,
    node::{File, Node, Problems},
    section, servers, settings,
};
use std::path::{Path, PathBuf};

/// Reads and checks the configuration.
///
/// # Errors
/// Everything that is wrong, one line each: file and line, key, cause, remedy.
pub fn load(options: &LoadOptions) -> Result<Cluster, ConfigErrors> {
    let mut problems = Problems::default();
    let mut files = Files {
        dir: options
            .servers_file
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default(),
        env: &options.env,
        environments: vec!["development".into(), "production".into()],
    };
    let types = files.servers(&options.servers_file, &mut problems);
    let master = files.master(&mut problems);
    let dictionary = files.dictionary(&mut problems);
    let server_protos = files.protos("serverProtos.json", &mut problems);
    let client_protos = files.protos("clientProtos.json", &mut problems);
    let mut host = settings::Host::default();
    files.read("chathost.json", &mut problems, |node, problems| {
        let types: Vec<&str> = types.iter().map(|(name, _)| &**name).collect();
        host.read(node, &types, files.env, problems);
    });
    let libraries = files.libraries(&types, &mut problems);
    let warnings = problems.warnings()?;
    Ok(Cluster {
        env: options.env.clone(),
        base: options.base.clone(),
        config_dir: files.dir,
        master,
        dictionary,
        server_protos,
        client_protos,
        settings: host.settings,
        web: host.web,
        log: host.log,
        stop: host.stop,
        handlers: host.handlers,
        threads: host.threads,
        libraries,
        warnings,
        types,
        hosted: None,
    })
}

impl Cluster {
    /// What `handlers.json` says now: it may change while the servers run.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read_libraries(&self) -> Result<LibrariesByType, ConfigErrors> {
        let files = Files {
            dir: self.config_dir.clone(),
            env: &self.env,
            environments: vec!["development".into(), "production".into(), self.env.clone()],
        };
        let mut problems = Problems::default();
        let libraries = files.libraries(&self.types, &mut problems);
        problems.warnings()?;
        Ok(libraries)
    }
}

/// The configuration folder, as one environment sees it.
struct Files<'o> {
    dir: PathBuf,
    env: &'o str,
    /// Names that are environments where they are keys.
    environments: Vec<String>,
}

impl Files<'_> {
    fn servers(&mut self, path: &Path, problems: &mut Problems) -> servers::Types {
        let found = self.find(path.file_name().map(Path::new).unwrap_or(path));
        if !found.exists() {
            let folders = self.folders(&found);
            let remedy = if folders.is_empty() {
                "name your servers.json with --servers".to_owned()
            } else {
                format!(
                    "there is one for {}: name the environment with -e",
                    folders.join(", ")
                )
            };
            problems.add(format!("{}: there is no such file; {remedy}", path.display()));
        }
        let Some(file) = File::read(&found, problems) else {
            return servers::Types::new();
        };
        let Some(node) = file.parse(problems) else {
            return servers::Types::new();
        };
        let entries = node.entries("", problems).unwrap_or_default();
        let names: Vec<String> = entries.iter().map(|(key, _)| key.clone()).collect();
        // Types of servers are lists, environments are objects.
        if !entries.is_empty() && entries.iter().all(|(_, value)| value.is_object()) {
            self.environments.extend(names.iter().cloned());
        }
        match entries.iter().find(|(key, _)| key == self.env) {
            Some((_, own)) => servers::read(*own, problems),
            None if names.iter().any(|name| self.environments.contains(name)) => {
                let cause = format!(
                    "there is no such environment; there are {}: name one with -e",
                    names.join(", ")
                );
                problems.at(node, self.env, &cause);
                servers::Types::new()
            }
            None => servers::read(node, problems),
        }
    }

    fn libraries(&self, types: &servers::Types, problems: &mut Problems) -> LibrariesByType {
        let mut libraries = LibrariesByType::new();
        self.read("handlers.json", problems, |node, problems| {
            let types: Vec<&str> = types.iter().map(|(name, _)| &**name).collect();
            libraries = handlers::read(node, &types, problems);
        });
        libraries
    }

    fn master(&self, problems: &mut Problems) -> Master {
        let mut master = Master {
            id: "master-server-1".into(),
            host: "127.0.0.1".into(),
            port: 3005,
        };
        self.read("master.json", problems, |node, problems| {
            section::read(node, "", problems, |section| {
                section.text("id", &mut master.id);
                section.text("host", &mut master.host);
                section.port("port", &mut master.port);
            });
        });
        master
    }

    fn dictionary(&self, problems: &mut Problems) -> Vec<String> {
        let mut routes = Vec::new();
        self.read("dictionary.json", problems, |node, problems| {
            // The original's demo has `{}` there, which names no routes.
            if node.entries("", problems).is_none_or(|names| !names.is_empty()) {
                section::read_list(node, "", problems, &mut routes);
            }
        });
        routes
    }

    /// The text of a protos file.
    fn protos(&self, name: &str, problems: &mut Problems) -> String {
        let mut text = String::new();
        self.read(name, problems, |node, problems| {
            // Both files have one grammar, and only here is it known where this one lies.
            if let Err(error) = pomelo_protocol::Protos::new(node.text(), "") {
                let error = error.to_string();
                let cause = error.strip_prefix("serverProtos.json: ").unwrap_or(&error);
                let route = node.entries("", problems).unwrap_or_default().into_iter();
                let route = route.filter(|(key, _)| cause.starts_with(key.as_str()));
                let place = route
                    .max_by_key(|(key, _)| key.len())
                    .map_or(node, |(_, own)| own);
                // The field is in quotes.
                let field = cause.split(": ").find(|part| part.starts_with('"'));
                place.wrong_within(field.unwrap_or("\n"), cause, problems);
            }
            node.text().clone_into(&mut text);
        });
        text
    }

    /// Hands on the part of a file that is for this environment, if there is one.
    fn read(&self, name: &str, problems: &mut Problems, take: impl FnOnce(Node<'_>, &mut Problems)) {
        let Some(file) = File::read(&self.find(Path::new(name)), problems) else {
            return;
        };
        let Some(node) = file.parse(problems) else { return };
        let entries = node.entries("", problems).unwrap_or_default();
        if let Some((_, own)) = entries.iter().find(|(key, _)| key == self.env) {
            return take(*own, problems);
        }
        let names: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        let is_environment = |name: &&str| self.environments.iter().any(|known| known == name);
        if !names.iter().any(is_environment) {
            return take(node, problems);
        }
        let others: Vec<&str> = names.into_iter().filter(|name| !is_environment(name)).collect();
        match nearest(self.env, &others) {
            Some(near) => {
                let cause = format!("there is no such environment; did you mean {}?", self.env);
                problems.at(node, near, &cause);
            }
            None => {
                let cause = "nothing is set for this environment, so the defaults apply";
                problems.warn(node, self.env, cause);
            }
        }
    }

    fn find(&self, name: &Path) -> PathBuf {
        let (beside, in_folder) = (self.dir.join(name), self.dir.join(self.env).join(name));
        if !beside.exists() && in_folder.exists() {
            in_folder
        } else {
            beside
        }
    }

    /// The folders beside a file that have one of its name.
    fn folders(&self, file: &Path) -> Vec<String> {
        let beside = std::fs::read_dir(if self.dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &self.dir
        });
        let name = file.file_name().unwrap_or_default();
        let mut folders: Vec<String> = beside
            .into_iter()
            .flatten()
            .flatten()
            .filter(|folder| folder.path().join(name).is_file())
            .map(|folder| folder.file_name().to_string_lossy().into_owned())
            .collect();
        folders.sort();
        folders
    }
}
