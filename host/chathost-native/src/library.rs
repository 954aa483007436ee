//! Opening a library: copied aside, opened from there, checked, and never closed.
//!
//! The copy is what makes a swap possible: the loader knows a file by its name, and gives back the old code for an old
//! name. It is not closed because a library with thread-locals (every one in Rust) cannot be closed soundly. What is
//! opened once is not opened again: the same content is the same library, whatever it is called.

use crate::ffi;
use chathost_abi::{ABI_VERSION, ENTRY, Plugin};
use chathost_core::handler::LoadError;
use libloading::os::unix;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// A native plugin that may serve: made by [`Library::open`], built into a server as any
/// [`HandlerFactory`](chathost_core::handler::HandlerFactory).
#[derive(Debug)]
pub struct Library {
    path: PathBuf,
    hash: String,
    plugin: &'static Plugin,
}

/// What came of opening a content, with the reason if it cannot serve.
type Opened = Result<&'static Plugin, String>;

static OPENED: LazyLock<Mutex<HashMap<[u8; 16], Opened>>> = LazyLock::new(Mutex::default);
static KEPT_OPEN: AtomicUsize = AtomicUsize::new(0);

/// How many libraries this process has opened. None is ever closed.
pub fn kept_open() -> usize {
    KEPT_OPEN.load(Relaxed)
}

impl Library {
    /// Opens a library as it is now; what happens to the file later does not matter.
    ///
    /// # Errors
    /// One line: the file, what is wrong with it, and the remedy.
    pub fn open(path: &Path) -> Result<Arc<Self>, LoadError> {
        let refused = |problem: String| LoadError {
            problems: vec![format!("{}: {problem}", path.display())],
        };
        let content = fs::read(path).map_err(|error| {
            refused(format!(
                "the library cannot be read ({error}); build it, or correct its path in config/handlers.json"
            ))
        })?;
        let digest = md5::compute(&content).0;
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        let plugin = match opened.get(&digest) {
            Some(known) => known.clone(),
            None => {
                let library = open_copy(path, &content).map_err(refused)?;
                let checked = check(library);
                opened.insert(digest, checked.clone());
                checked
            }
        };
        Ok(Arc::new(Self {
            path: path.to_owned(),
            hash: digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect(),
            plugin: plugin.map_err(refused)?,
        }))
    }

    /// The file it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Eight hexadecimal digits that change with its content.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub(crate) fn plugin(&self) -> &'static Plugin {
        self.plugin
    }
}

/// Opens a copy with a name that was never used. The file can go at once: what is mapped stays.
fn open_copy(path: &Path, content: &[u8]) -> Result<unix::Library, String> {
    complete(content)?;
    let aside = || -> std::io::Result<(tempfile::TempDir, PathBuf)> {
        let folder = tempfile::Builder::new().prefix("chathost-").tempdir()?;
        let copy = folder.path().join(path.file_name().unwrap_or_default());
        fs::write(&copy, content)?;
        Ok((folder, copy))
    };
    let (_folder, copy) = aside().map_err(|error| {
        format!("the library cannot be copied aside ({error}); set TMPDIR to a folder with room for it")
    })?;
    // SAFETY: code of the operator's choice runs from here on, as the operator asked for. It is not run twice at a
    // time, and it is never closed.
    let library = unsafe { unix::Library::open(Some(&copy), unix::RTLD_NOW | unix::RTLD_LOCAL) };
    let library = library.map_err(|error| {
        // The loader names the copy.
        let reason = error.to_string().replace(&*copy.to_string_lossy(), "it");
        format!(
            "the library cannot be opened ({reason}); build it for this machine, with all that it links to"
        )
    })?;
    KEPT_OPEN.fetch_add(1, Relaxed);
    Ok(library)
}

/// The constant that the library exports, if it is one that this host understands.
fn check(library: unix::Library) -> Opened {
    // SAFETY: only the address is taken; what is there is looked at below, carefully.
    let entry = unsafe { library.get::<*const Plugin>(ENTRY.as_bytes()) };
    let entry = entry.map(|symbol| symbol.as_raw_ptr().cast::<Plugin>().cast_const());
    // Never closed: what it left in this process would point nowhere.
    std::mem::forget(library);
    let entry = entry.map_err(|_| {
        format!(
            "the library has no symbol {ENTRY}; export one, with export_plugin! in Rust or as chathost.h says"
        )
    })?;
    // SAFETY: a symbol of a library that stays open; at least a header is there in every version.
    let header = unsafe { ffi::header(entry) }
        .ok_or_else(|| format!("{ENTRY} is not where a table can be; export a constant chathost_plugin"))?;
    if header.abi_version != ABI_VERSION {
        return Err(format!(
            "the library speaks version {} of the plugin interface, this host version {ABI_VERSION}; build it with the \
             chathost.h or the chathost-plugin of this host",
            header.abi_version
        ));
    }
    if (header.size as usize) < size_of::<Plugin>() {
        return Err(format!(
            "{ENTRY} has {} bytes and should have {}; build it with the chathost.h of this host",
            header.size,
            size_of::<Plugin>()
        ));
    }
    // SAFETY: it is aligned, says that it is a table of this version, as large as one, and stays where it is.
    let plugin = unsafe { &*entry };
    for (name, missing) in [
        ("create", plugin.create.is_none()),
        ("destroy", plugin.destroy.is_none()),
        ("call", plugin.call.is_none()),
    ] {
        if missing {
            return Err(format!(
                "{ENTRY} lacks the function {name}; every plugin needs it"
            ));
        }
    }
    Ok(plugin)
}

/// The loader trusts what a file says about its size: one that was cut off would end the process when it is touched.
fn complete(content: &[u8]) -> Result<(), String> {
    let Some(elf) = content.strip_prefix(b"\x7fELF\x02\x01") else {
        if cfg!(target_os = "linux") {
            return Err("this is not a shared library; name the .so that the build made".to_owned());
        }
        return Ok(());
    };
    // Offsets are those of the file, which `elf` begins six bytes behind.
    let number = |at: u64, bytes: usize| -> Option<u64> {
        let at = usize::try_from(at).ok()?.checked_sub(6)?;
        let field = elf.get(at..at.checked_add(bytes)?)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0, |number, &byte| number << 8 | u64::from(byte)),
        )
    };
    let ends = || -> Option<u64> {
        let (segments, sections) = (number(0x20, 8)?, number(0x28, 8)?);
        let (segment_size, segment_count) = (number(0x36, 2)?, number(0x38, 2)?);
        let mut end = sections.checked_add(number(0x3a, 2)? * number(0x3c, 2)?)?;
        for segment in 0..segment_count {
            let at = segments.checked_add(segment * segment_size)?;
            end = end.max(number(at.checked_add(0x08)?, 8)?.checked_add(number(at.checked_add(0x20)?, 8)?)?);
        }
        Some(end)
    };
    match ends() {
        Some(end) if end <= content.len() as u64 => Ok(()),
        _ => Err("the library is cut off; wait until it is written, or build it again".to_owned()),
    }
}
