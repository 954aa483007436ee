//! The scripts below `handlers/`, all read at one moment.
//!
//! Every VM of a generation is loaded from the same snapshot, on whatever thread and however long after: what somebody
//! saves in between belongs to the next generation, and the one before can be loaded again. No script runs here, and
//! nothing else reads a script's file.
//!
//! Paths are relative to the folder, with `/`.

use super::{LoadError, sources::hash};
use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// A longer file is not a script that somebody wrote.
const MAX_FILE: u64 = 1 << 20;
/// Nor is this a folder of scripts.
const MAX_FILES: usize = 4096;
const MAX_BYTES: usize = 64 << 20;

/// A folder of scripts, as it was.
pub struct Snapshot {
    /// With all symbolic links followed.
    root: PathBuf,
    /// How the folder is named in messages and tracebacks: `handlers`.
    shown: String,
    /// What kept a file from being read is told when it is asked for: a server type need not care for another's.
    files: BTreeMap<String, Result<Script, String>>,
}

/// A file's text, and what tells it from another.
pub(super) struct Script {
    pub(super) text: Vec<u8>,
    pub(super) hash: u64,
}

impl Snapshot {
    /// Reads all `*.lua` below a folder, whose last part stands for it in messages.
    ///
    /// Hidden files and folders are an editor's, or a version control's. A symbolic link may lead to another place
    /// below the folder, as in a Kubernetes volume, but not out of it.
    ///
    /// # Errors
    /// A folder that cannot be read, leads elsewhere, or holds far more than scripts.
    pub fn read(root: &Path) -> Result<Self, LoadError> {
        let refused = |problem| LoadError {
            problems: vec![problem],
        };
        let name = root.file_name().unwrap_or(root.as_os_str());
        let mut snapshot = Self {
            root: root
                .canonicalize()
                .map_err(|error| refused(format!("{}: {error}", root.display())))?,
            shown: name.to_string_lossy().into_owned(),
            files: BTreeMap::new(),
        };
        let mut walk = vec![(String::new(), vec![snapshot.root.clone()])];
        let mut bytes = 0;
        while let Some((folder, way)) = walk.pop() {
            for name in snapshot.entries(&folder).map_err(refused)? {
                let path = format!("{folder}{name}");
                if snapshot.root.join(&path).is_dir() {
                    let real = snapshot.real(&path).map_err(refused)?;
                    // A link to a folder around it would lead round and round.
                    if !way.contains(&real) {
                        let way = way.iter().cloned().chain([real]).collect();
                        walk.push((format!("{path}/"), way));
                    }
                } else if name.ends_with(".lua") {
                    let script = snapshot.script(&path);
                    bytes += script.as_ref().map_or(0, |script| script.text.len());
                    snapshot.files.insert(path, script);
                }
                if snapshot.files.len() > MAX_FILES || bytes > MAX_BYTES {
                    return Err(refused(format!(
                        "{}: more than {MAX_FILES} scripts or {MAX_BYTES} bytes; is it the right folder?",
                        snapshot.root.display()
                    )));
                }
            }
        }
        Ok(snapshot)
    }

    /// The paths of all scripts, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// A path as messages name it.
    pub(super) fn shown(&self, path: &str) -> String {
        format!("{}/{path}", self.shown)
    }

    /// Where it is on this machine.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// The scripts in a folder, sorted, without those in folders of it.
    pub(super) fn list(&self, folder: &str) -> impl Iterator<Item = &str> {
        let prefix = format!("{folder}/");
        self.paths()
            .filter(move |path| path.strip_prefix(&prefix).is_some_and(|name| !name.contains('/')))
    }

    /// The path that `require(name)` means.
    pub(super) fn resolve(&self, name: &str) -> Result<String, String> {
        let is_path = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !is_path || name.contains(['\\', ':', '\0']) {
            return Err(format!(
                "require({name:?}): a module is named by its path below {}/, as in require(\"util/text\")",
                self.shown
            ));
        }
        Ok(format!("{}.lua", name.strip_suffix(".lua").unwrap_or(name)))
    }

    /// A script that [`Snapshot::resolve`] named.
    pub(super) fn get(&self, path: &str) -> Result<&Script, String> {
        if let Some(script) = self.files.get(path) {
            return script.as_ref().map_err(String::clone);
        }
        let dotted = format!("{}.lua", path.trim_end_matches(".lua").replace('.', "/"));
        let hint = if self.has(&dotted) {
            format!("; {} is required with slashes", self.shown(&dotted))
        } else {
            String::new()
        };
        Err(format!("there is no {}{hint}", self.shown(path)))
    }

    /// What is in a folder, if anybody is meant to see it.
    fn entries(&self, folder: &str) -> Result<Vec<String>, String> {
        let in_words = |error: io::Error| format!("{}: {error}", self.shown(folder));
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(folder)).map_err(in_words)? {
            if let Ok(name) = entry.map_err(in_words)?.file_name().into_string()
                && !name.starts_with('.')
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Where a path leads.
    fn real(&self, path: &str) -> Result<PathBuf, String> {
        let shown = self.shown(path);
        match self.root.join(path).canonicalize() {
            Ok(real) if real.starts_with(&self.root) => Ok(real),
            Ok(_) => Err(format!("{shown} is a link that leads out of {}/", self.shown)),
            Err(error) => Err(format!("{shown}: {error}")),
        }
    }

    fn script(&self, path: &str) -> Result<Script, String> {
        let real = self.real(path)?;
        let shown = self.shown(path);
        // Opening a pipe would wait for somebody to write into it.
        if !real.is_file() {
            return Err(format!("{shown} is not a file"));
        }
        let mut text = Vec::new();
        fs::File::open(real)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
            .map_err(|error| format!("{shown}: {error}"))?;
        if text.len() as u64 > MAX_FILE {
            return Err(format!("{shown} is larger than {MAX_FILE} bytes"));
        }
        let hash = hash(&text);
        // Some editors put it there; Luau does not know it.
        if text.starts_with(b"\xEF\xBB\xBF") {
            text.drain(..3);
        }
        Ok(Script { text, hash })
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("root", &self.root)
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}
